// A voice message from the microphone.

import { t } from './words.js'

// iPhones cannot play what most browsers record by default.
const TYPES = [['audio/mp4', 'm4a'], ['audio/webm', 'webm'], ['audio/ogg', 'ogg']]

/** Whether this page may ask for the microphone: http beyond this computer may not. */
export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder)

/** Starts; `stop` gives the file, `discard` nothing. */
export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true })
  const [mimeType, extension] = TYPES.find(([type]) => MediaRecorder.isTypeSupported(type)) ?? ['', 'webm']
  const recorder = new MediaRecorder(stream, { mimeType })
  const chunks = []
  recorder.ondataavailable = ({ data }) => chunks.push(data)
  const stopped = new Promise((resolve) => (recorder.onstop = resolve))
  const end = async () => {
    if (recorder.state !== 'inactive') recorder.stop()
    await stopped
    for (const track of stream.getTracks()) track.stop()
  }
  recorder.start()
  return {
    discard: end,
    async stop() {
      await end()
      const time = new Date().toTimeString().slice(0, 8).replaceAll(':', '')
      return new File(chunks, `${t('voice')}-${time}.${extension}`, { type: mimeType })
    },
  }
}
