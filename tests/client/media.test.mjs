// When a player is given a new address, and when it is given up. That browsers behave so is tested in tests/page/read.test.mjs.

import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'

import { keepPlaying } from '../../client/media.js'

const URL_OF_ITEM = 'https://chat.example.com/f/AAAAAAAAAAAAAAAAAAAAAA/images/a.mp4'
const [NETWORK, DECODE, UNSUPPORTED] = [2, 3, 4]

/** A player of which the test decides all. */
class Player extends EventTarget {
  asked = 0
  played = 0
  currentTime = 0
  playbackRate = 1
  paused = true
  set src(url) {
    assert.equal(url, URL_OF_ITEM)
    this.asked++
    // As a browser's: it begins anew, and stands still.
    Object.assign(this, { currentTime: 0, playbackRate: 1, paused: true })
  }
  async play() {
    this.played++
    this.paused = false
  }
  says(...events) {
    for (const event of events) this.dispatchEvent(new Event(event))
  }
  fails(code) {
    this.error = { code }
    this.says('error')
  }
}

let player, failed
beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout'] })
  player = new Player()
  failed = mock.fn()
  keepPlaying(player, URL_OF_ITEM, failed)
})

const state = () => [player.asked, player.currentTime, player.paused, failed.mock.callCount()]

test('while bytes come nothing is asked again', () => {
  player.says('canplay', 'playing', 'waiting')
  for (let tries = 0; tries < 10; tries++) {
    mock.timers.tick(2900)
    player.says('progress')
  }
  player.says('canplay')
  mock.timers.tick(600_000)
  player.says('progress')
  mock.timers.tick(600_000)
  assert.equal(player.asked, 1)
})

test('when nothing comes to where it is sought, it goes on there at a new address', () => {
  player.says('canplay')
  Object.assign(player, { currentTime: 50, paused: false, playbackRate: 2 })
  player.says('seeking')
  mock.timers.tick(2999)
  assert.equal(player.asked, 1)
  mock.timers.tick(1)
  assert.deepEqual(state(), [2, 50, false, 0])
  assert.equal(player.playbackRate, 2)
})

test('one that stands still is not set going', () => {
  player.says('canplay')
  player.currentTime = 50
  player.says('waiting')
  mock.timers.tick(3000)
  assert.deepEqual([...state(), player.played], [2, 50, true, 0, 0])
})

test('a slow network gets twice the time with every turn, until it is good again', () => {
  player.says('canplay', 'waiting')
  for (const [turn, ms] of [3000, 6000, 12_000].entries()) {
    mock.timers.tick(ms - 1)
    assert.equal(player.asked, 1 + turn)
    mock.timers.tick(1)
    assert.equal(player.asked, 2 + turn)
  }
  player.says('canplay', 'waiting')
  mock.timers.tick(3000)
  assert.equal(player.asked, 5)
})

test('a connection that breaks is made again at once, and then with patience', () => {
  player.says('canplay')
  player.currentTime = 50
  player.fails(NETWORK)
  assert.deepEqual(state(), [2, 50, true, 0])
  player.fails(UNSUPPORTED)
  assert.equal(player.asked, 2)
  mock.timers.tick(6000)
  assert.deepEqual(state(), [3, 50, true, 0])
})

test('it is given up when nothing has helped for two minutes', () => {
  player.says('canplay')
  for (let seconds = 0; seconds < 200; seconds++) {
    player.fails(NETWORK)
    mock.timers.tick(100_000)
    if (failed.mock.callCount()) break
  }
  assert.deepEqual([player.asked, failed.mock.callCount()], [6, 1])
})

test('what never played, and what cannot be decoded, is given up at once', () => {
  player.fails(UNSUPPORTED)
  assert.deepEqual([player.asked, failed.mock.callCount()], [1, 1])
  player.says('canplay')
  player.fails(DECODE)
  assert.deepEqual([player.asked, failed.mock.callCount()], [1, 2])
  mock.timers.tick(600_000)
  assert.equal(player.asked, 1)
})
