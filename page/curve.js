// The speed of one upload as a small curve: time to the right, the fastest moment as high as the canvas.

const MOST = 120

export class Curve {
  constructor(canvas) {
    this.canvas = canvas
    this.speeds = []
  }

  add(speed) {
    this.speeds.push(speed)
    // Halved rather than cut: the curve always shows the whole upload.
    if (this.speeds.length > MOST) this.speeds = this.speeds.filter((_, index) => index % 2)
    this.draw()
  }

  draw() {
    const { canvas, speeds } = this
    const context = canvas.getContext('2d')
    const { width, height } = canvas
    const top = Math.max(...speeds, 1)
    const x = (index) => (speeds.length > 1 ? (index / (speeds.length - 1)) * width : width)
    const y = (speed) => height - 3 - (speed / top) * (height - 8)
    const line = new Path2D()
    speeds.forEach((speed, index) => line.lineTo(x(index), y(speed)))
    const area = new Path2D(line)
    area.lineTo(width, height)
    area.lineTo(0, height)
    context.clearRect(0, 0, width, height)
    context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color
    context.globalAlpha = 0.18
    context.fill(area)
    context.globalAlpha = 1
    context.lineWidth = 3
    context.lineJoin = 'round'
    context.stroke(line)
  }
}
