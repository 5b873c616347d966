//! The one place where the spool touches files, and the seam at which tests make them fail.
//!
//! [`Disk`] is a folder, [`DiskFile`] a file in it. [`LocalDisk`] is the real one; the tests have
//! one in memory that forgets what was not flushed, runs full and fails at the n-th call. Promises
//! nothing about durability by itself: what a barrier is, and what its failure means, is decided
//! in [`crate::local`]. Names are relative to the data folder and hold at most one `/`.

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A folder with the spool's files. Every call may block.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a folder, unless it is there; `""` is the data folder itself.
    fn create_dir(&self, name: &str) -> io::Result<()>;

    /// Makes a file that must not be there yet, for reading and writing.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there: to read, or to read and write.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of any that had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file away.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// What lies in a folder, in no order.
    fn list(&self, folder: &str) -> io::Result<Vec<Listed>>;

    /// Makes a folder's names durable.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// Takes the lock that `name` stands for; `None` if somebody else holds it. It is held until
    /// the value is dropped, or the process ends.
    fn lock(&self, name: &str, lock: Lock) -> io::Result<Option<Held>>;

    /// Octets that may still be written here.
    fn free(&self) -> io::Result<u64>;

    /// When a file was made, in nanoseconds since 1970, if the filesystem says so: a copy is another file, whatever its
    /// other times say.
    fn born(&self, name: &str) -> io::Result<Option<u64>>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Octets in it.
    fn len(&self) -> io::Result<u64>;

    /// True if it has no octets.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `into` from `offset` on; an error if the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes all of `octets` at `offset`.
    fn write_at(&self, offset: u64, octets: &[u8]) -> io::Result<()>;

    /// Cuts or extends it; what is new reads as zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes its content durable, not its name.
    fn sync_data(&self) -> io::Result<()>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read.
    Read,
    /// To read and write.
    Write,
}

/// Which lock is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nobody else at all; the lock's file is made if it is not there.
    Exclusive,
    /// Others that ask for the same; nothing is made.
    Shared,
}

/// A lock held.
pub type Held = Box<dyn Any + Send + Sync>;

/// True if there was no room, or we may not use it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What a folder says about one of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name in that folder; what is not UTF-8 comes with replacement characters.
    pub name: String,
    /// Octets in it.
    pub size: u64,
}

/// A folder of a local filesystem.
#[derive(Debug)]
pub struct LocalDisk {
    root: PathBuf,
}

impl LocalDisk {
    /// The folder at `root`, which need not be there yet.
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where a name lies.
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.root.clone()
        } else {
            self.root.join(name)
        }
    }
}

impl Disk for LocalDisk {
    fn create_dir(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        match DirBuilder::new().mode(FOLDER_MODE).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        }
        // The new folder's own name must survive too.
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent.to_path_buf()),
            _ => sync_folder(PathBuf::from(".")),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(self.path(name))?;
        Ok(Arc::new(LocalFile(file)))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .open(self.path(name))?;
        Ok(Arc::new(LocalFile(file)))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the seam; its callers sync the folder"
    )]
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Listed>> {
        fs::read_dir(self.path(folder))?
            .map(|entry| {
                let entry = entry?;
                Ok(Listed {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    size: entry.metadata()?.len(),
                })
            })
            .collect()
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        sync_folder(self.path(folder))
    }

    fn lock(&self, name: &str, lock: Lock) -> io::Result<Option<Held>> {
        let exclusive = lock == Lock::Exclusive;
        let file = OpenOptions::new()
            .read(true)
            .write(exclusive)
            .create(exclusive)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.path(name))?;
        let taken = if exclusive {
            file.try_lock()
        } else {
            file.try_lock_shared()
        };
        match taken {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn free(&self) -> io::Result<u64> {
        let room = rustix::fs::statvfs(&self.root)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn born(&self, name: &str) -> io::Result<Option<u64>> {
        let made = match fs::metadata(self.path(name))?.created() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
            made => made?,
        };
        let since = made.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_nanos()).ok())
    }
}

/// Flushes a folder: its names, not what they stand for.
#[expect(
    clippy::disallowed_methods,
    reason = "the seam; its callers poison on failure"
)]
fn sync_folder(path: PathBuf) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A file of a local filesystem.
#[derive(Debug)]
struct LocalFile(File);

impl DiskFile for LocalFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.0.write_all_at(octets, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the seam; its callers poison on failure"
    )]
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Mail is nobody else's to read, whatever the umask.
const FOLDER_MODE: u32 = 0o700;
/// The same for files.
const FILE_MODE: u32 = 0o600;
