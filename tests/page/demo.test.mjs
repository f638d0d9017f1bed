// The demo in examples/uni-app as an H5 build, served from another origin than the server's. Files are read as from a private
// bucket: their `url` leads on to an address that ends.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { after, before, test } from 'node:test'
import { devices } from 'playwright-core'
import { ROOT, file, longFilm, media, openPage, photo, screenshot, serveFolder, startChromium, startProgram } from './support.mjs'

const PHONE = { ...devices['Pixel 7'], locale: 'zh-CN' }

let browser, program, reading, site, picture, page, context, errors

/** Before the server: a file is sent on to an address of the round, which is refused in every later one. */
async function startReading() {
  const reading = { round: 0, asked: [] }
  const server = createServer((given, answer) => {
    const { method, headers } = given
    const [, round, path = given.url] = /^\/round-(\d+)(.*)/.exec(given.url) ?? []
    if (method === 'GET' && !round) {
      reading.asked.push(path)
      return answer.writeHead(302, { location: `/round-${reading.round}${path}`, 'cache-control': 'no-store' }).end()
    }
    if (round && Number(round) !== reading.round) return answer.writeHead(403).end()
    const passed = request(`${program.address}${path}`, { method, headers }, (found) => {
      answer.writeHead(found.statusCode, { ...found.headers, ...(round && { 'cache-control': 'no-store' }) })
      found.pipe(answer)
    })
    passed.on('error', () => answer.destroy())
    answer.on('close', () => passed.destroy())
    given.pipe(passed)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  reading.address = `http://127.0.0.1:${server.address().port}`
  reading.end = () => {
    server.close()
    server.closeAllConnections()
  }
  return reading
}

before(async () => {
  reading = await startReading()
  program = await startProgram({ UPLOAD_SIGNING_SECRET: 'secret of check-page', UPLOAD_PUBLIC_URL: reading.address })
  site = await serveFolder(`${ROOT}examples/uni-app/dist/build/h5`)
  // The demo calls the port of the README.
  browser = await startChromium(`--host-resolver-rules=MAP 127.0.0.1:9000 127.0.0.1:${program.port}`)
  picture = await photo(browser)
  ;({ page, context, errors } = await openPage(browser, PHONE, `${site.address}/`))
})

after(async () => {
  await browser.close()
  site.end()
  program.end()
  reading.end()
})

async function choose(button, files) {
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.locator(button).tap()])
  await chooser.setFiles(files)
}

/** A finger that stays, and then leaves with a move: on a phone no tap follows a long press. */
async function press(element) {
  const box = await element.boundingBox()
  const at = { x: box.x + box.width / 2, y: box.y + box.height / 2 }
  const session = await context.newCDPSession(page)
  const touch = (type, ...touchPoints) => session.send('Input.dispatchTouchEvent', { type, touchPoints })
  await touch('touchStart', at)
  await page.locator('.uni-actionsheet__cell').first().waitFor()
  await touch('touchMove', { x: at.x - 60, y: at.y - 60 })
  await touch('touchEnd')
  await session.detach()
}

const bubble = () => page.locator('.message').last().locator('.bubble')
const done = () => page.locator('.message').last().locator('.bubble.done').waitFor()

test('a picture becomes a bubble with a box of its size', async () => {
  await page.getByText('发一张图片').waitFor()
  await choose('.way.image', [file('夕阳.jpg', 'image/jpeg', picture)])
  await done()
  const [path] = program.stored()
  assert.match(path, /^images\/\d{8}\/.*\.jpg$/)
  const box = await bubble().locator('uni-image').boundingBox()
  assert.ok(Math.abs(box.width / box.height - 1.5) < 0.02, `${box.width} × ${box.height}`)
})

test('a video and a document get theirs', async () => {
  await choose('.way.video', [file('clip.mp4', 'video/mp4', media('mp42-faststart.mp4'))])
  await done()
  await bubble().locator('video').waitFor()
  await choose('.way.paper', [file('报告.docx', '', media('report.docx'))])
  await done()
  await bubble().getByText('报告.docx').waitFor()
})

test('a video is sought in after its address has ended', async () => {
  await choose('.way.video', [file('film.mp4', 'video/mp4', longFilm(60, 300_000))])
  await page.locator('.message').nth(3).locator('.bubble.done').waitFor()
  const video = bubble().locator('video')
  const seek = (to) =>
    video.evaluate(
      (video, to) =>
        new Promise((resolve) => {
          const arrived = () => video.readyState >= 2 && !video.seeking && Math.abs(video.currentTime - to) < 1
          for (const event of ['seeked', 'canplay', 'timeupdate']) video.addEventListener(event, () => arrived() && resolve(video.currentTime))
          setTimeout(() => resolve('in vain'), 15000)
          video.currentTime = to
        }),
      to,
    )
  await page.waitForFunction((video) => video.readyState >= 2, await video.elementHandle())
  assert.equal(await seek(50), 50)
  reading.round++
  reading.asked.length = 0
  assert.equal(await seek(30), 30)
  assert.equal(reading.asked.length, 1)
})

test('what is refused says why, and can be tried again', async () => {
  const program = Buffer.concat([Buffer.from('MZ\x90\0', 'latin1'), Buffer.alloc(4000, 0xfe)])
  await choose('.way.paper', [file('program.exe', '', program)])
  await page.locator('.failed').getByText(/上传失败.*重试/).waitFor()
})

test('a long press takes a message back, and the other side sees it', async () => {
  const other = await context.newPage()
  await other.goto(`${site.address}/`)
  await other.getByText('发一张图片').waitFor()
  await page.bringToFront()
  await choose('.way.image', [file('a.png', 'image/png', media('rgb.png'))])
  await done()
  await other.locator('.message.theirs .bubble').waitFor()
  await screenshot(page, 'demo')
  const before = program.stored().length
  await press(bubble())
  await page.getByText('撤回', { exact: true }).tap()
  await page.getByText('你撤回了一条消息').waitFor()
  await other.getByText('对方撤回了一条消息').waitFor()
  assert.equal(program.stored().length, before - 1)
  await other.close()
})

test('the plain page uploads with the code of the README', async () => {
  await page.locator('.way.plain').tap()
  const before = program.stored().length
  await choose('.pick', [file('plain.jpg', 'image/jpeg', picture)])
  await page.locator('.said').getByText(/\/images\/\d{8}\/.*\.jpg$/).waitFor()
  await page.locator('.percent').getByText('100%').waitFor()
  assert.equal(program.stored().length, before + 1)
})

test('the build for Apps has the transport of Apps, and no other', () => {
  const built = readFileSync(`${ROOT}examples/uni-app/dist/build/app/app-service.js`, 'utf8')
  assert.match(built, /plus\.io\.resolveLocalFileSystemURL/)
  assert.doesNotMatch(built, /XMLHttpRequest|getFileSystemManager/)
})

test('nothing went wrong on the way', () => assert.deepEqual(errors, []))
