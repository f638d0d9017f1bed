// The package as it is shipped: how large it is, how old a runtime may be, and that the types say what the code does.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { build, transform } from 'esbuild'
import typescript from 'typescript'

const CLIENT = new URL('../../client/', import.meta.url)
const LARGEST = 12 * 1024
const read = (name) => readFileSync(new URL(name, CLIENT), 'utf8')
const files = readdirSync(CLIENT)
const modules = files.filter((name) => name.endsWith('.js'))

async function minified(transport, file) {
  const contents = `import { ${transport} as transport } from './${file}.js'
    import { createUploader as create } from './uploader.js'
    export { UploadError } from './errors.js'
    export const createUploader = (options) => create({ transport, ...options })`
  const stdin = { contents, resolveDir: fileURLToPath(CLIENT) }
  const options = { stdin, bundle: true, minify: true, charset: 'utf8', format: 'esm', target: 'es2018', write: false }
  return (await build(options)).outputFiles[0].contents.length
}

for (const [transport, file, largest] of [['browser', 'browser', LARGEST], ['weixin', 'weixin', LARGEST + 1024], ['app', 'app', LARGEST + 1024]]) {
  test(`at most ${largest / 1024} KB minified with the transport ${transport}`, async (t) => {
    const size = await minified(transport, file)
    t.diagnostic(`${size} bytes`)
    assert.ok(size <= largest, `${size} bytes`)
  })
}

test('no dependencies, and no step to build it', () => {
  const { dependencies, devDependencies, scripts } = JSON.parse(read('package.json'))
  assert.deepEqual([dependencies, devDependencies, scripts], [undefined, undefined, undefined])
})

test('what package.json names is there, and all that is imported is shipped', () => {
  const { exports, main, types, files: shipped } = JSON.parse(read('package.json'))
  for (const name of [main, types, ...Object.values(exports).flatMap((entry) => (typeof entry === 'string' ? entry : Object.values(entry)))]) {
    assert.ok(files.includes(name.replace(/^\.\//, '')), name)
  }
  assert.ok(shipped.includes('*.js') && shipped.includes('*.d.ts'))
  for (const name of modules) {
    for (const [, imported] of read(name).matchAll(/from '(.*?)'/g)) assert.ok(modules.includes(imported.slice(2)), `${name}: ${imported}`)
  }
})

test('id and fields are as the plugin market wants them', () => {
  const { id, dcloudext, uni_modules, keywords } = JSON.parse(read('package.json'))
  assert.match(id, /^(?!.*(uni|dcloud))[a-z0-9]{2,}-[a-z0-9-]+$/i)
  assert.equal(dcloudext.type, 'sdk-js')
  assert.deepEqual(Object.keys(dcloudext.declaration), ['ads', 'data', 'permissions'])
  assert.ok(uni_modules.platforms.client['uni-app'] && keywords.length <= 5)
})

describe('no syntax newer than ES2018', () => {
  for (const name of modules) {
    test(name, async () => {
      // Newer syntax would be rewritten for the older target.
      const [old, now] = await Promise.all(['es2018', 'esnext'].map(async (target) => (await transform(read(name), { target })).code))
      assert.equal(old, now)
    })
  }
})

test('#ifdef gives every platform one transport, and only its own', () => {
  const platforms = { H5: 'browser', 'MP-WEIXIN': 'weixin', 'APP-PLUS': 'app', 'MP-ALIPAY': 'miniProgram' }
  for (const [platform, transport] of Object.entries(platforms)) {
    const kept = []
    let skipping = false
    for (const line of read('uni.js').split('\n')) {
      const [, kind, names] = /^\/\/ #(ifn?def) (.*)/.exec(line) || []
      if (kind) skipping = names.split(' || ').includes(platform) !== (kind === 'ifdef')
      else if (line.startsWith('// #endif')) skipping = false
      else if (!skipping) kept.push(line)
    }
    assert.deepEqual(kept.filter((line) => /^transport = /.test(line)), [`transport = ${transport}`])
    const imported = kept.map((line) => /^import \{ (\w+) \} from/.exec(line)?.[1]).filter(Boolean)
    assert.deepEqual(imported, [transport])
  }
})

const USE = `
import { createUploader, UploadError, type Item, type UploadTask, type Transport } from './index.js'
import { createUploader as inUni } from './uni.js'
const uploader = createUploader({ api: '/api/chat', token: async (renew) => (renew ? 'a' : undefined), maxBytes: 1e8 })
const task: UploadTask = uploader.upload('wxfile://tmp/a.png', { name: 'a.png', imageClassId: 3 })
const off: () => void = task.on('progress', ({ percent, speed }) => percent + speed)
task.on('retry', ({ error, afterMs }) => error.code === 'network' && afterMs)
task.on('state', (state) => state === 'finishing')
const item: Item = await task
const url: string = await task.then((item) => item.url)
const caught: Item | UploadError = await task.catch((error) => error)
await uploader.recall(item)
for (const result of await uploader.uploadAll([new Blob([]), { tempFilePath: 'a' }, { path: 'b', size: 1 }])) {
  const text: string = result.status === 'done' ? result.item.url : result.error.english
}
inUni({ api: '', lane: 'parts', resume: { get: () => null, set: () => {} }, transport: {} as Transport })
// @ts-expect-error no such event
task.on('end', () => {})
// @ts-expect-error no such lane
createUploader({ api: '', lane: 'tus' })
// @ts-expect-error the address is needed
createUploader({})
`

/** The examples of both READMEs that call `uni`: of the client, and those without it, which use each other. */
const SHOWN = ['README.md', 'README.zh-CN.md'].flatMap((name) => {
  const blocks = readFileSync(new URL(`../${name}`, CLIENT), 'utf8').matchAll(/```js\n([\s\S]*?)```/g)
  const examples = [...blocks].map(([, text]) => text).filter((text) => /\buni\./.test(text))
  const [client, without] = [true, false].map((wanted) => examples.filter((text) => text.includes('chat-upload-client') === wanted))
  return [client, without].map((texts) => [name, texts.join('\n').replace('chat-upload-client/uni', './uni.js')])
})

/** The complaints of TypeScript about a file beside the client. */
function complaints(text, name = 'use.ts', more = {}) {
  const file = fileURLToPath(new URL(name, CLIENT))
  const options = { strict: true, noEmit: true, target: typescript.ScriptTarget.ES2022, module: typescript.ModuleKind.ES2022, moduleResolution: typescript.ModuleResolutionKind.Bundler, types: [], skipLibCheck: true, lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], ...more }
  const host = typescript.createCompilerHost(options)
  const { readFile, fileExists, getSourceFile } = host
  host.fileExists = (name) => name === file || fileExists(name)
  host.readFile = (name) => (name === file ? text : readFile(name))
  host.getSourceFile = (name, ...more) => (name === file ? typescript.createSourceFile(name, text, options.target) : getSourceFile(name, ...more))
  const found = typescript.getPreEmitDiagnostics(typescript.createProgram([file], options, host))
  return found.map(({ messageText }) => typescript.flattenDiagnosticMessageText(messageText, '\n'))
}

test('the types accept what README shows and refuse what is wrong', () => {
  assert.deepEqual(complaints(USE), [])
  assert.ok(SHOWN.every(([, text]) => text.includes('uni.')))
  const typeRoots = [fileURLToPath(new URL('../examples/uni-app/node_modules/', CLIENT))]
  for (const [name, text] of SHOWN) {
    const found = complaints(text, 'use.js', { allowJs: true, checkJs: true, strict: false, types: ['@dcloudio/types'], typeRoots })
    assert.deepEqual(found, [], `${name}: ${text}`)
  }
})

test('the codes of the types are those that the code has', () => {
  const code = modules.map(read).join('\n')
  const typed = [.../export type ClientCode =([\s\S]*?)\n\n/.exec(read('index.d.ts'))[1].matchAll(/'(\w+)'/g)].map(([, name]) => name)
  assert.deepEqual(typed.filter((name) => !code.includes(`'${name}'`)), [], 'never made')
  const made = [...code.matchAll(/(?:new UploadError|fail)\(([^)]*?)[,)]/g)].flatMap(([, first]) => [...first.matchAll(/'(\w+)'/g)].map(([, name]) => name))
  assert.ok(made.length > 8)
  assert.deepEqual(made.filter((name) => !typed.includes(name)), [], 'not in the types')
})

test('the methods of an uploader and of a task are those of the types', async () => {
  const { createUploader } = await import('../../client/uploader.js')
  const uploader = createUploader({ api: '', transport: { open: () => new Promise(() => {}), watch: () => {} } })
  const declared = (name) => {
    const body = new RegExp(`export interface ${name} [^{]*\\{([\\s\\S]*?)\\n\\}`).exec(read('index.d.ts'))[1]
    return [...new Set([...body.matchAll(/^ {2}(?:readonly )?(\w+)[(:<]/gm)].map(([, member]) => member))].sort()
  }
  assert.deepEqual(Object.keys(uploader).sort(), declared('Uploader'))
  assert.deepEqual(Object.keys(uploader.upload('')).filter((name) => name !== 'then').sort(), declared('UploadTask'))
})
