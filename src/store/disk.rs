//! The store in a folder: bytes are written to a temporary file in the store's own folder, synced, and
//! linked to their key once all files of the request are complete. Until then an edit can reach all bytes
//! of a file. A temporary file is removed when its writer is dropped or, if the process was killed, by its
//! age: other processes may write to the same folder, and not every network file system has locks.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::http::HeaderValue;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    Error, Found, Kept, ObjectKey, Published, Seen, Tasks, Undo,
    bucket::ONE_CALL_BYTES,
    chunks::{Part, PartBuilder},
    key::PENDING,
};
use crate::body::{Edit, Overwrite, REACH};

/// Bytes buffered before a blocking task writes them.
const BATCH: usize = 512 * 1024;
/// Suffix of temporary files, `.<uuid>.part`: no [`ObjectKey`] begins with a dot, so none is ever served.
const TEMPORARY_SUFFIX: &str = ".part";

const HOUR: Duration = Duration::from_secs(60 * 60);
/// Interval between cleanups.
const CLEANUP_INTERVAL: Duration = HOUR;
/// Age at which a direct upload that was not completed is removed.
const PENDING_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of the folder.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `UPLOAD_STORE=disk:<folder>`; created if missing.
    pub folder: PathBuf,
    /// `UPLOAD_CACHE_CONTROL`: `Cache-Control` of every file that is served.
    pub cache_control: HeaderValue,
    /// `UPLOAD_REQUEST_SECS`: longest time for writing a file.
    pub request_limit: Duration,
}

/// A folder of objects; cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk {
    root: Arc<Path>,
    cache_control: HeaderValue,
    tasks: TaskTracker,
}

impl Disk {
    /// Creates the folder and starts the task that removes leftovers of crashes and abandoned uploads; must run
    /// inside a Tokio runtime.
    pub(super) fn open(settings: Settings) -> Result<Self, Error> {
        fs::create_dir_all(&settings.folder).map_err(failed("create the store's folder"))?;
        let disk = Self {
            root: settings.folder.into(),
            cache_control: settings.cache_control,
            tasks: TaskTracker::new(),
        };
        // Not tracked: it never ends, and a process that stops does not wait for it.
        tokio::spawn(clean_periodically(
            Arc::clone(&disk.root),
            settings.request_limit + HOUR,
        ));
        Ok(disk)
    }

    /// `Cache-Control` of its files.
    pub fn cache_control(&self) -> &HeaderValue {
        &self.cache_control
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of the file for `key`, which need not exist.
    pub fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(super) fn writer(&self, tasks: Tasks, undo: Undo) -> Writer {
        Writer {
            undo,
            disk: self.clone(),
            target: None,
            batch: PartBuilder::default(),
            written: Written::default(),
            tasks,
        }
    }

    pub(super) async fn look(
        &self,
        key: &ObjectKey,
        head_bytes: usize,
        tasks: &Tasks,
    ) -> Result<Option<Seen>, Error> {
        let path = self.path(key);
        run_blocking(tasks, move || {
            let seen = if_exists(read_head(&path, head_bytes));
            seen.map_err(failed("read a file"))
        })
        .await
    }

    pub(super) async fn read(
        &self,
        key: &ObjectKey,
        at: u64,
        bytes: usize,
        tasks: &Tasks,
    ) -> Result<Option<Bytes>, Error> {
        let path = self.path(key);
        run_blocking(tasks, move || {
            let read = || {
                let mut file = File::open(&path)?;
                file.seek(SeekFrom::Start(at))?;
                let mut found = Vec::with_capacity(bytes);
                file.take(bytes as u64).read_to_end(&mut found)?;
                Ok(Bytes::from(found))
            };
            let found = if_exists(read()).map_err(failed("read a file"))?;
            Ok(found.filter(|found| !found.is_empty()))
        })
        .await
    }

    /// Files are never overwritten, so the file at `from` is the one that was seen.
    pub(super) async fn publish(
        &self,
        from: &ObjectKey,
        to: &ObjectKey,
        tasks: &Tasks,
    ) -> Result<Published, Error> {
        let (from, to) = (self.path(from), self.path(to));
        run_blocking(tasks, move || {
            create_folder(folder_of(&to)).map_err(failed("create a folder"))?;
            let linked = if_exists(link_or_rename(&from, &to));
            match linked.map_err(failed("link a file to its key")) {
                Ok(Some(())) => {
                    sync_folder(folder_of(&to)).map_err(failed("sync a folder"))?;
                    Ok(Published::Now)
                }
                Ok(None) => Ok(Published::Changed),
                Err(error) if error.is_taken() => Ok(Published::Before),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Finds the first of these keys that exists.
    pub(super) async fn find(
        &self,
        keys: Vec<ObjectKey>,
        tasks: &Tasks,
    ) -> Result<Option<Found>, Error> {
        let disk = self.clone();
        run_blocking(tasks, move || {
            for key in keys {
                let stat = || {
                    let metadata = fs::metadata(disk.path(&key))?;
                    Ok((metadata.len(), metadata.modified()?.into()))
                };
                if let Some((size, since)) = if_exists(stat()).map_err(failed("look for a file"))? {
                    return Ok(Some(Found { key, size, since }));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Makes complete files visible under their keys, one right after the other: all of them, or none.
    pub(super) async fn show(
        &self,
        files: Vec<Hidden>,
        tasks: &Tasks,
    ) -> Result<Vec<Visible>, Error> {
        run_blocking(tasks, move || {
            let shown: Result<Vec<_>, _> = files.into_iter().map(Hidden::show).collect();
            let shown = shown?;
            let folders: BTreeSet<_> = shown.iter().map(|file| folder_of(&file.path)).collect();
            for folder in folders {
                sync_folder(folder).map_err(failed("sync a folder"))?;
            }
            Ok(shown)
        })
        .await
    }

    pub(super) async fn remove(&self, key: &ObjectKey, tasks: &Tasks) -> Result<(), Error> {
        let path = self.path(key);
        run_blocking(tasks, move || {
            let removed = if_exists(fs::remove_file(&path));
            removed.map(|_| ()).map_err(failed("remove a file"))
        })
        .await
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Disk { action, source }
}

/// Turns [`io::ErrorKind::NotFound`] into `None`: the file, or its folder, does not exist.
fn if_exists<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_head(path: &Path, head_bytes: usize) -> io::Result<Seen> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut head = Vec::new();
    file.take(head_bytes as u64).read_to_end(&mut head)?;
    Ok(Seen {
        head: head.into(),
        size,
        version: String::new(),
    })
}

/// A file being written.
#[derive(Debug)]
pub struct Writer {
    undo: Undo,
    disk: Disk,
    /// `None` until the object has a key.
    target: Option<PathBuf>,
    batch: PartBuilder,
    written: Written,
    tasks: Tasks,
}

/// State of a writer's file.
#[derive(Debug, Default)]
struct Written {
    file: Option<Temporary>,
    /// Bytes written to it.
    len: u64,
    /// Edits of these bytes, not yet applied.
    edits: Vec<Edit>,
    /// `None` unless requested.
    hash: Option<Hash>,
}

impl Writer {
    pub(super) fn start(&mut self, key: &ObjectKey) {
        self.target = Some(self.disk.path(key));
    }

    pub(super) fn hash(&mut self) {
        self.written.hash = Some(Hash::default());
    }

    /// Whether `bytes` more can be written before the object needs its key; the limit is that of a
    /// bucket's writer.
    pub(super) fn can_hold(&self, bytes: usize) -> bool {
        self.written.len + (self.batch.len() + bytes) as u64 <= ONE_CALL_BYTES as u64
    }

    /// Overwrites written bytes, all of which are within reach.
    pub(super) fn edit(&mut self, edit: Edit) -> bool {
        self.batch.edit(self.written.len, &edit);
        if edit.at < self.written.len {
            self.written.edits.push(edit);
        }
        true
    }

    pub(super) async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.batch.push(chunk);
        if self.batch.len() < BATCH {
            return Ok(());
        }
        // Without a key, all bytes may still be edited.
        let reach = self.target.as_ref().map_or(u64::MAX, |_| REACH);
        let append = self.append(reach);
        self.written = run_blocking(&self.tasks, append).await?;
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Kept, Error> {
        let append = self.append(0);
        let target = self.target.ok_or(Error::Interrupted)?;
        run_blocking(&self.tasks, move || {
            let Written { file, hash, .. } = append()?;
            let Temporary { path, file } = file.ok_or(Error::Interrupted)?;
            file.sync_all().map_err(failed("sync a file"))?;
            let hidden = Hidden {
                path,
                target,
                undo: self.undo,
            };
            Ok(Kept::hidden(hidden).hashed(hash.map(|hash| hash.hash)))
        })
        .await
    }

    /// Returns the work of writing the batch, for a blocking task.
    fn append(&mut self, reach: u64) -> impl FnOnce() -> Result<Written, Error> + use<> {
        let root = Arc::clone(&self.disk.root);
        let (written, batch) = (std::mem::take(&mut self.written), self.batch.take());
        move || written.append(&batch, &root, reach)
    }
}

impl Written {
    /// Applies the edits and appends `batch`; the last `reach` bytes may still be edited.
    fn append(mut self, batch: &Part, root: &Path, reach: u64) -> Result<Self, Error> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => Temporary::in_folder(root)?,
        };
        for edit in self.edits.drain(..) {
            file.edit(&edit, self.len).map_err(failed("edit a file"))?;
        }
        write_all_vectored(&mut file.file, batch.chunks()).map_err(failed("write to a file"))?;
        self.len += batch.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.advance(&file.file, self.len.saturating_sub(reach))
                .map_err(failed("read a file back"))?;
        }
        self.file = Some(file);
        Ok(self)
    }
}

/// Hash of the bytes of a file that no edit can reach any more.
#[derive(Debug, Default)]
struct Hash {
    hash: Sha256,
    hashed: u64,
}

impl Hash {
    /// Continues to `end`, over recently written bytes.
    fn advance(&mut self, mut file: &File, end: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        file.seek(SeekFrom::Start(self.hashed))?;
        let mut rest = file.take(end.saturating_sub(self.hashed));
        loop {
            match rest.read(&mut buffer)? {
                0 => break,
                read => self.hash.update(buffer.get(..read).unwrap_or_default()),
            }
        }
        self.hashed = self.hashed.max(end);
        file.seek(SeekFrom::End(0)).map(|_| ())
    }
}

/// A complete file that has no key yet; removed when dropped.
#[derive(Debug)]
pub(super) struct Hidden {
    path: TemporaryPath,
    target: PathBuf,
    undo: Undo,
}

impl Hidden {
    /// Gives the file its key, which must be free.
    fn show(self) -> Result<Visible, Error> {
        let Self { path, target, undo } = self;
        create_folder(folder_of(&target)).map_err(failed("create a folder"))?;
        link_or_rename(&path.0, &target).map_err(failed("link a file to its key"))?;
        Ok(Visible { path: target, undo })
    }
}

/// A file under its key; removed when dropped, unless kept.
#[derive(Debug)]
pub(super) struct Visible {
    path: PathBuf,
    undo: Undo,
}

impl Visible {
    /// Keeps the file: its request succeeded.
    pub(super) fn keep(mut self) {
        self.undo = Undo::Never;
    }
}

impl Drop for Visible {
    fn drop(&mut self) {
        if self.undo == Undo::WhenDropped {
            remove(&self.path);
        }
    }
}

/// Runs `work` on a thread for blocking work. If the caller is dropped meanwhile, so is the result, and
/// with it a file that was not kept.
async fn run_blocking<T: Send + 'static>(
    tasks: &Tasks,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let thread = tasks.spawn(tokio::task::spawn_blocking(work));
    thread
        .await
        .map_err(|_| Error::Interrupted)?
        .map_err(|_| Error::Interrupted)?
}

/// A file being written, without a key; removed when dropped.
#[derive(Debug)]
struct Temporary {
    path: TemporaryPath,
    file: File,
}

/// Path of a temporary file, which is removed when this is dropped.
#[derive(Debug)]
struct TemporaryPath(PathBuf);

impl Temporary {
    /// Creates a temporary file: in the store's own folder, since its key is not known yet.
    fn in_folder(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(format!(".{}{TEMPORARY_SUFFIX}", Uuid::new_v4().simple()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed("create a file"))?;
        let path = TemporaryPath(path);
        Ok(Self { path, file })
    }

    /// Applies an edit to the file, which has `written` bytes; the rest of the edit is ignored.
    fn edit(&mut self, edit: &Edit, written: u64) -> io::Result<()> {
        let len = edit.end().min(written).saturating_sub(edit.at);
        self.file.seek(SeekFrom::Start(edit.at))?;
        match &edit.by {
            Overwrite::Fill(byte, _) => {
                io::copy(&mut io::repeat(*byte).take(len), &mut self.file)?;
            }
            Overwrite::Bytes(bytes) => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                self.file.write_all(bytes.get(..len).unwrap_or(bytes))?;
            }
        }
        self.file.seek(SeekFrom::End(0)).map(|_| ())
    }
}

/// Links or renames the file at `path` to `target`, which must not exist; durable once the folder is
/// synced. The old name may remain.
fn link_or_rename(path: &Path, target: &Path) -> io::Result<()> {
    use io::ErrorKind::{AlreadyExists, NotFound};
    match fs::hard_link(path, target) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), AlreadyExists | NotFound) => Err(error),
        // Some network file systems have no hard links. There, of two concurrent requests for one name
        // the later one wins.
        Err(_) if target.exists() => Err(AlreadyExists.into()),
        Err(_) => fs::rename(path, target),
    }
}

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        // The file has another name by now, or is not needed.
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(%error, path = %path.display(), "could not remove a leftover file");
        }
        _ => {}
    }
}

fn folder_of(target: &Path) -> &Path {
    target.parent().unwrap_or(Path::new("."))
}

/// Creates a folder and its parents, durably.
fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_folder(parent)?;
    }
    match fs::create_dir(folder) {
        // Another request was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent.unwrap_or(Path::new("."))),
    }
}

/// Syncs the entries of a folder: a file synced without them may lose its name.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn write_all_vectored(file: &mut File, chunks: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Cleans `root` periodically while the process runs. A temporary file that has not changed for
/// `abandoned_after` has no writer.
async fn clean_periodically(root: Arc<Path>, abandoned_after: Duration) {
    loop {
        let root = Arc::clone(&root);
        let cleaning = tokio::task::spawn_blocking(move || {
            let now = SystemTime::now();
            remove_older(&root, is_temporary, now - abandoned_after);
            remove_expired_pending(&root.join(PENDING), now - PENDING_MAX_AGE);
        });
        // A panic is logged, and must not end the cleaning.
        let _ = cleaning.await;
        tokio::time::sleep(CLEANUP_INTERVAL).await;
    }
}

fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// Removes uncompleted direct uploads older than `cutoff`, as a bucket's lifecycle rule does.
fn remove_expired_pending(pending: &Path, cutoff: SystemTime) {
    for entry in fs::read_dir(pending).into_iter().flatten().flatten() {
        remove_older(&entry.path(), |_| true, cutoff);
    }
}

/// Removes the files of a folder whose names match `wanted` and that have not changed since `cutoff`.
fn remove_older(folder: &Path, wanted: impl Fn(&OsStr) -> bool, cutoff: SystemTime) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let metadata = entry
            .metadata()
            .and_then(|it| Ok((it.is_file(), it.modified()?)));
        let is_old = matches!(metadata, Ok((true, changed)) if changed < cutoff);
        if is_old && wanted(&entry.file_name()) {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.into_string().expect("UTF-8"))
            .collect()
    }

    #[test]
    fn abandoned_temporary_files_are_removed_by_their_age_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [".0123.part", ".keep", "b.part"] {
            fs::write(folder.path().join(name), b"half").expect("written");
        }
        let now = SystemTime::now();
        remove_older(folder.path(), is_temporary, now - HOUR);
        assert_eq!(names(folder.path()).len(), 3);
        remove_older(folder.path(), is_temporary, now + HOUR);
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, [".keep", "b.part"]);
    }

    #[test]
    fn a_taken_name_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let [pending, image] = ["pending", "image.png"].map(|name| folder.path().join(name));
        fs::write(&pending, b"brought").expect("written");
        link_or_rename(&pending, &image).expect("a free place");
        fs::write(&pending, b"again").expect("written");
        let taken = link_or_rename(&pending, &image).expect_err("a taken place");
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_was_not_completed_for_a_day_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let dates = folder.path().join("20250417");
        fs::create_dir(&dates).expect("made");
        fs::write(dates.join("a"), b"brought").expect("written");
        let now = SystemTime::now();
        remove_expired_pending(folder.path(), now - HOUR);
        assert_eq!(names(&dates), ["a"]);
        remove_expired_pending(folder.path(), now + HOUR);
        assert_eq!(names(&dates).len(), 0);
        remove_expired_pending(&folder.path().join("nowhere"), now);
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a.png");
        fs::write(&target, b"first").expect("written");
        let hidden = Hidden {
            path: Temporary::in_folder(folder.path()).expect("a file").path,
            target: target.clone(),
            undo: Undo::WhenDropped,
        };
        assert!(matches!(hidden.show(), Err(error) if error.is_taken()));
        assert_eq!(fs::read(&target).expect("read"), b"first");
        assert_eq!(names(folder.path()), ["a.png"]);
    }
}
