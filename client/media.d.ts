/**
 * Loads `url` into a `<video>` or `<audio>`. With a private bucket (`UPLOAD_READ=signed`) the address behind `url` ends while
 * the element lives; it is then given a new one, and goes on where it was. `failed` is called when it cannot be played.
 */
export function keepPlaying(player: HTMLMediaElement, url: string, failed?: () => void): void
