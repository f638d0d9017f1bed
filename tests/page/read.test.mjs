// Files of a private store in Chromium, read through the function from another origin: from SeaweedFS, which shows nothing to
// anybody without a signature, and from a folder. Then the same in the page, for longer than an address lives.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { file, longFilm, media, openPage, photo, serveText, startChromium, startProgram } from './support.mjs'

const SIGNED = { UPLOAD_READ: 'signed', UPLOAD_SIGNING_SECRET: 'secret of check-page' }
const { CHECK_S3_PORT, CHECK_S3_BUCKET, CHECK_S3_KEY, CHECK_S3_SECRET } = process.env
const BUCKET = `http://127.0.0.1:${CHECK_S3_PORT}/${CHECK_S3_BUCKET}`
const STORES = {
  bucket: {
    UPLOAD_STORE: `s3://${CHECK_S3_BUCKET}`,
    UPLOAD_ENDPOINT: `http://127.0.0.1:${CHECK_S3_PORT}`,
    UPLOAD_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: CHECK_S3_KEY,
    AWS_SECRET_ACCESS_KEY: CHECK_S3_SECRET,
  },
  folder: {},
}
// The shortest life that can be set: two seconds, in windows of one.
const LIFE_SECS = 2
const [SECONDS, APART] = [60, 300_000]

let browser, site, picture, film

before(async () => {
  browser = await startChromium('--autoplay-policy=no-user-gesture-required')
  site = await serveText('<!doctype html><link rel="icon" href="data:,"><title>a chat</title>')
  picture = await photo(browser)
  film = longFilm(SECONDS, APART)
})

after(async () => {
  await browser.close()
  site.end()
})

async function upload(program, name, content) {
  const form = new FormData()
  form.append('img', new Blob([content]), name)
  const answer = await fetch(`${program.address}/api/chat/uploadAliyun`, { method: 'POST', body: form })
  assert.equal(answer.status, 200)
  return (await answer.json()).data[0]
}

/** Makes an element of this tag, and tells which of its events comes first. */
const show = (page, tag, src, properties = {}) =>
  page.evaluate(
    ([tag, src, properties]) =>
      new Promise((resolve) => {
        const element = (window.shown = Object.assign(document.createElement(tag), properties))
        for (const event of ['load', 'loadeddata', 'error']) element.addEventListener(event, () => resolve(event))
        element.src = src
        document.body.append(element)
      }),
    [tag, src, properties],
  )

/** Where a video is when it has arrived at `to`, or what went wrong. */
const seek = (page, to) =>
  page.evaluate((to) => {
    const video = document.querySelector('video')
    return new Promise((resolve) => {
      video.onseeked = () => resolve(video.currentTime)
      video.onerror = () => resolve(video.error.message)
      video.currentTime = to
    })
  }, to)

/** The answers that the page got. */
function answersOf(page) {
  const seen = []
  page.on('response', (answer) => seen.push(answer))
  return { of: (address, status) => seen.filter((answer) => answer.url().startsWith(address) && answer.status() === status), clear: () => seen.splice(0) }
}

for (const [store, variables] of Object.entries(STORES)) {
  describe(`a ${store} read from another origin`, () => {
    let program, page, errors, context, answers, item, base

    before(async () => {
      program = await startProgram({ ...SIGNED, ...variables })
      ;({ page, errors, context } = await openPage(browser, {}, site.address))
      answers = answersOf(page)
      item = await upload(program, 'IMG_0001.jpg', picture)
      assert.ok(item.url.startsWith(`${program.address}/f/`), item.url)
      base = store === 'bucket' ? `${BUCKET}/` : `${program.address}/f/`
    })

    after(async () => {
      await context.close()
      program.end()
    })

    test('an <img> shows its picture', async () => {
      assert.equal(await show(page, 'img', item.url), 'load')
      assert.deepEqual(await page.evaluate(() => [shown.naturalWidth, shown.naturalHeight]), [1200, 800])
      assert.equal(answers.of(base, 200).length, 1)
      assert.equal(answers.of(item.url, 302).length, store === 'bucket' ? 1 : 0)
    })

    test('without its signature it shows nothing', async () => {
      const bare = store === 'bucket' ? `${BUCKET}/${item.path}` : `${program.address}/${item.path}`
      assert.equal(await show(page, 'img', bare), 'error')
      const status = await page.evaluate(async (url) => (await fetch(url)).status, bare)
      assert.equal(status, store === 'bucket' ? 403 : 404)
    })

    test('a canvas may read its pixels', async () => {
      assert.equal(await show(page, 'img', `${item.url}?cors`, { crossOrigin: 'anonymous' }), 'load')
      const pixels = await page.evaluate(() => {
        const canvas = Object.assign(document.createElement('canvas'), { width: 10, height: 10 })
        canvas.getContext('2d').drawImage(shown, 0, 0)
        return canvas.toDataURL().length
      })
      assert.ok(pixels > 50)
    })

    test('fetch gets it whole and in part, and HEAD its size', async () => {
      answers.clear()
      const found = await page.evaluate(async (url) => {
        const [whole, part, head] = await Promise.all([
          fetch(url, { cache: 'no-store' }),
          fetch(url, { cache: 'no-store', headers: { Range: 'bytes=1000-1999' } }),
          fetch(url, { method: 'HEAD', cache: 'no-store' }),
        ])
        const bytes = async (answer) => [...new Uint8Array(await answer.arrayBuffer())].slice(0, 3000)
        return {
          statuses: [whole, part, head].map(({ status }) => status),
          part: await bytes(part),
          start: await bytes(whole.clone()),
          size: (await whole.blob()).size,
          type: head.headers.get('content-type'),
          length: Number(head.headers.get('content-length')),
        }
      }, item.url)
      assert.deepEqual(found.statuses, [200, 206, 200])
      assert.deepEqual(found.part, found.start.slice(1000, 2000))
      assert.deepEqual([found.size, found.type, found.length], [picture.length, 'image/jpeg', picture.length])
      if (store === 'bucket') {
        const origins = await Promise.all(answers.of(base, 200).map(async (answer) => (await answer.request().allHeaders()).origin))
        // After a second origin the browser no longer says which page asks.
        assert.deepEqual(origins, ['null', 'null'])
      }
    })

    test('a <video> plays, and is sought in', async () => {
      const { url } = await upload(program, 'VID_0001.mp4', film)
      answers.clear()
      assert.equal(await show(page, 'video', url, { muted: true, preload: 'metadata' }), 'loadeddata')
      assert.deepEqual(await page.evaluate(() => [shown.duration, shown.videoWidth]), [SECONDS, 64])
      for (const to of [50, 30, 57]) assert.equal(await seek(page, to), to)
      await page.evaluate(() => shown.play())
      await page.waitForFunction(() => shown.currentTime > 57.2)
      const from = answers.of(base, 206).map((answer) => Number(/bytes=(\d+)/.exec(answer.request().headers().range)?.[1] ?? 0))
      assert.ok(from.some((byte) => byte >= 45 * APART), `${from}`)
    })

    test('a document is saved under its name', async () => {
      const document = media('report.docx')
      const { url } = await upload(program, '季度报告.docx', document)
      const [download] = await Promise.all([page.waitForEvent('download'), page.evaluate((url) => (location = url), url)])
      assert.ok(!(await download.failure()))
      // A folder has no place for the sender's name.
      assert.match(download.suggestedFilename(), store === 'bucket' ? /^季度报告\.docx$/ : /\.docx$/)
    })

    test('nothing was refused', () => assert.deepEqual(errors, []))
  })

  describe(`a ${store} in the page, for longer than an address lives`, () => {
    let program, page, errors, context, answers
    const newest = () => page.locator('#uploads > li').first()
    const done = () => newest().and(page.locator('[data-state=done]')).waitFor()

    before(async () => {
      program = await startProgram({ ...SIGNED, ...variables, UPLOAD_READ_SECS: LIFE_SECS })
      ;({ page, errors, context } = await openPage(browser, { locale: 'zh-CN' }, `${program.address}/`))
      answers = answersOf(page)
      // Nobody but the page's own origin may put anything into the bucket.
      await page.locator('#lane').evaluate((lane) => (lane.value = 'form'))
    })

    after(async () => {
      await context.close()
      program.end()
    })

    test('a picture is shown, and its address still leads to it', async () => {
      await page.setInputFiles('input#file', [file('夕阳.jpg', 'image/jpeg', picture)])
      await done()
      const shown = await newest().locator('.bubble img').elementHandle()
      await page.waitForFunction((image) => image.complete && image.naturalWidth === 1200, shown)
      const item = JSON.parse(await newest().locator('.answer pre').textContent())
      await page.waitForTimeout((LIFE_SECS + 1) * 1000)
      const status = (url) => page.evaluate(async (url) => (await fetch(url)).status, url)
      if (store === 'bucket') assert.equal(await status(item.signed_url), 403)
      assert.equal(await status(item.url), 200)
    })

    test('a video goes on where it is sought, at a new address', async () => {
      await page.setInputFiles('input#file', [file('VID_0001.mp4', 'video/mp4', film)])
      await done()
      const video = newest().locator('.bubble video')
      await video.waitFor()
      await page.waitForFunction((video) => video.readyState >= 2, await video.elementHandle())
      assert.equal(await seek(page, 50), 50)
      await page.waitForTimeout((LIFE_SECS + 1) * 1000)
      const { url } = JSON.parse(await newest().locator('.answer pre').textContent())
      answers.clear()
      assert.equal(await seek(page, 30), 30)
      if (store === 'bucket') assert.equal(answers.of(url, 302).length, 1)
      await video.evaluate((video) => Object.assign(video, { muted: true }).play())
      await page.waitForFunction((video) => video.currentTime > 30.2 && video.currentTime < 35, await video.elementHandle())
      await page.waitForTimeout((LIFE_SECS + 1) * 1000)
      // While it plays, it plays on.
      await video.evaluate((video) => (video.currentTime = 40))
      await page.waitForFunction((video) => !video.paused && video.currentTime > 40.2 && video.currentTime < 50, await video.elementHandle())
    })

    test('a voice message is played', async () => {
      await page.setInputFiles('input#file', [file('voice.m4a', 'audio/mp4', media('voice.m4a'))])
      await done()
      await newest().locator('.bubble button.voice').click()
      await newest().locator('.bubble button.voice.playing').waitFor()
    })

    test('a document is saved', async () => {
      await page.setInputFiles('input#file', [file('报告.docx', '', media('report.docx'))])
      await done()
      const link = newest().locator('.bubble a.paper')
      // A tab of its own would close before it can be asked.
      await link.evaluate((link) => link.removeAttribute('target'))
      const [download] = await Promise.all([page.waitForEvent('download'), link.click()])
      assert.ok(!(await download.failure()))
    })

    test('nothing was refused', () => assert.deepEqual(errors, []))
  })
}
