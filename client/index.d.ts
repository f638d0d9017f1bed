/** An item of the server's answer. A fact that is not known is left out. */
export interface Item {
  url: string
  path: string
  size: number
  mime: string
  /** The file's name, fit for display; empty when none was sent. */
  name: string
  /** Not for an upload into a `folder`. */
  image_class_id?: number
  /** Seconds since 1970; not for an upload into a `folder`. */
  create_time?: number
  /** For `recall`. */
  recall_token?: string
  kind?: 'image' | 'video' | 'audio' | 'document' | 'file'
  /** As displayed, in pixels. */
  width?: number
  height?: number
  duration_ms?: number
  animated?: true
  /** Whether the file told a location. */
  geo?: 'none' | 'removed' | 'kept'
  sha256?: string
  /** With a private bucket: an address that ends at `signed_expires_at`, in seconds since 1970. */
  signed_url?: string
  signed_expires_at?: number
}

/**
 * A form through the server; a signed form into the bucket; parts into the bucket, which go on where they stopped.
 */
export type Lane = 'form' | 'direct' | 'parts'

export type State = 'waiting' | 'sending' | 'finishing' | 'paused' | 'done' | 'failed' | 'aborted'

/** Codes of this side. Every other code is the server's own. */
export type ClientCode =
  | 'aborted'
  | 'token_missing'
  | 'check_size'
  | 'file_unreadable'
  | 'offline'
  | 'network'
  | 'timeout'
  | 'stalled'
  | 'interrupted'
  | 'not_ours'
  | 'bucket_refused'
  | 'domain_not_listed'
  | 'internal'
  | 'unsupported'

export class UploadError extends Error {
  /** Stable. */
  readonly code: ClientCode | (string & {})
  /** In Chinese, for a person: the server's own text where it has answered. */
  readonly message: string
  /** The server's text in English; for the codes of this side, the code in words. */
  readonly english: string
  /** HTTP status, 0 where nothing was answered. */
  readonly status: number
  /** Of the server's log, or empty. */
  readonly requestId: string
  /** Whether trying again later may succeed. */
  readonly retryable: boolean
  readonly phase: 'check' | 'sign' | 'send' | 'finish'
  readonly lane?: Lane
  /** How often the step that failed was tried. */
  readonly attempts: number
  /** The reason below: the platform's failure, the bucket's `Code`, or `HTTP <status>`. */
  readonly cause?: unknown
}

export interface Progress {
  phase: 'sending' | 'finishing' | 'done'
  lane: Lane
  /** Bytes of the file. */
  sent: number
  total: number
  /** Whole, 0 to 99, and 100 with the answer; never less than before. */
  percent: number
  /** Bytes per second. */
  speed: number
  /** 1, and one more with every retry. */
  attempt: number
  /** False where the platform tells no true progress: show that something goes on, and no percentage. */
  known: boolean
}

export interface Retry {
  error: UploadError
  attempt: number
  /** At most so long from now. */
  afterMs: number
  lane: Lane
}

/** `await` gives the item, or throws an `UploadError`; then the file may be uploaded again. */
export interface UploadTask extends PromiseLike<Item> {
  readonly state: State
  /** Known once the upload has begun. */
  readonly lane: Lane | undefined
  /** Returns a function that removes the listener. At most five `progress` a second, and one with each state. */
  on(event: 'progress', listener: (progress: Progress) => void): () => void
  on(event: 'retry', listener: (retry: Retry) => void): () => void
  on(event: 'state', listener: (state: State) => void): () => void
  /** False while `finishing` and at the end: what is out cannot be held back. */
  pause(): boolean
  resume(): boolean
  /** Rejects with `aborted` at once. What has arrived is deleted; while `finishing`, the answer is waited for, and recalled. */
  abort(): void
  catch<T = never>(failed: (error: UploadError) => T | PromiseLike<T>): Promise<Item | T>
}

/** A File or Blob, a path, or what `uni.choose*` and the recorder answer for one file. */
export type Uploadable =
  | Blob
  | string
  | { path: string; size?: number; name?: string }
  | { tempFilePath: string; size?: number; name?: string; tempFile?: unknown }

export interface UploadOptions {
  /** Instead of the file's own name. */
  name?: string
  imageClassId?: number | string
  /** Stores under `public/uploads/Diy/<folder>`; always a form. */
  folder?: string
  lane?: 'auto' | Lane
}

export interface UploaderOptions {
  /** `https://<host>/api/chat`, with whatever stands before `/api`. */
  api: string
  /** Asked before every call; `renew` is true when the last one was refused. */
  token?: string | ((renew: boolean) => string | undefined | Promise<string | undefined>)
  /** `auto` chooses by size and by what the server allows. */
  lane?: 'auto' | Lane
  /** Largest file that goes through the server; 4 MiB. */
  formMaxBytes?: number
  /** Smallest file that goes in parts; 10 MiB. */
  partsMinBytes?: number
  /** Files in flight; 2. */
  files?: number
  /** Parts in flight for each file; 3 in a browser, 2 in WeChat, 1 in an App. */
  parts?: number
  /**
   * So many retries, each after a random share of its delay; [0, 1000, 3000, 8000, 15000]. Counted anew whenever something
   * got through; after `maxMs` in which nothing did, without a network or with one, it ends; 600000.
   */
  retry?: { delays?: number[]; maxMs?: number }
  /** Without progress for so long, a request counts as lost; 30000. */
  stallMs?: number
  /** Whether parts go on after a reload, and where that is noted; the platform's storage. */
  resume?: boolean | { get(key: string): string | null | undefined; set(key: string, text: string): void }
  /** Largest file, beside the server's own limits; none. */
  maxBytes?: number
  /** Another platform's. See `browser.js` for what one looks like. */
  transport?: Transport
}

export interface Health {
  version: string
  store: 'disk' | 's3' | 'oss'
  limits?: {
    max_bytes: number
    max_files: number
    types: string[]
    direct: boolean
    direct_max_bytes: number
    recall_secs: number
    token: boolean
  }
}

export interface Uploader {
  upload(file: Uploadable, options?: UploadOptions): UploadTask
  /** Resolves when all have ended, in order; never rejects. */
  uploadAll(
    files: ArrayLike<Uploadable>,
    options?: UploadOptions,
  ): Promise<Array<{ status: 'done'; item: Item } | { status: 'failed' | 'aborted'; error: UploadError }>> & { tasks: UploadTask[] }
  /** Deletes what was uploaded a moment ago; the text is the server's. */
  recall(item: Pick<Item, 'recall_token'>): PromiseLike<string>
  /** Uploads in parts that go on when the same file is uploaded again. */
  pending(): Array<{ name: string; size: number; at: number }>
  health(): PromiseLike<Health>
}

export interface Request {
  url: string
  headers: Record<string, string>
  progress(bytes: number, total: number): void
}

/** A request under way. `stop` may leave `answer` open. A rejection may carry one of the codes above. */
export interface Running {
  /** `headers` is a text in which `Retry-After` can be found. */
  answer: Promise<{ status: number; text: string; headers?: string }>
  stop(): void
}

export interface Source {
  name: string
  size: number
  type: string
  /** Equal for the same file. */
  print: string
}

export interface Transport {
  /** Parts in flight; 0 where parts cannot be sent. */
  parts: number
  /** Whether progress can be relied on. */
  steady: boolean
  open(file: Uploadable): Promise<Source>
  slice(source: Source, from: number, to: number): Promise<unknown>
  form(request: Request & { field: string; fields: Record<string, string>; source: Source; name: string }): Running
  send(request: Request & { method: string; body?: unknown }): Running
  storage: { get(key: string): string | null | undefined; set(key: string, text: string): void }
  online(): boolean | Promise<boolean>
  /** Calls `changed` whenever the network is back, or another one. */
  watch(changed: () => void): void
}

export function createUploader(options: UploaderOptions): Uploader
