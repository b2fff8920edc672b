//! Threads of a model.

use super::{
    explore, stall,
    step::{Driver, driver},
};
use std::{
    any::Any,
    cell::RefCell,
    collections::HashMap,
    panic::Location,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

pub use std::thread::panicking;

#[derive(Clone, Debug)]
enum Id {
    Checked(loom::thread::Thread),
    Own(usize),
    Std(std::thread::Thread),
}

/// A handle to a thread.
#[derive(Clone, Debug)]
pub struct Thread(Id);

impl Thread {
    /// Lets the thread's next or present [`park`] return.
    #[track_caller]
    pub fn unpark(&self) {
        match &self.0 {
            Id::Checked(thread) => {
                stall::step(Location::caller());
                thread.unpark();
            }
            Id::Own(thread) if driver() == Driver::Explorer => explore::unpark(Location::caller(), *thread),
            // Its exploration is over.
            Id::Own(_) => {}
            Id::Std(thread) => thread.unpark(),
        }
    }
}

/// The thread that runs.
#[must_use]
pub fn current() -> Thread {
    Thread(match driver() {
        Driver::Loom => Id::Checked(loom::thread::current()),
        Driver::Explorer => Id::Own(explore::current()),
        Driver::None => Id::Std(std::thread::current()),
    })
}

/// Waits for a token; see [`std::thread::park`]. No spurious returns in a model.
#[track_caller]
pub fn park() {
    match driver() {
        Driver::Loom => {
            stall::step(Location::caller());
            loom::thread::park();
        }
        Driver::Explorer => explore::park(Location::caller()),
        Driver::None => std::thread::park(),
    }
}

/// Lets others run; in a model the thread has seen nothing new until another thread changes something.
#[track_caller]
pub fn yield_now() {
    match driver() {
        Driver::Loom => loom::thread::yield_now(),
        Driver::Explorer => explore::spin(Location::caller()),
        Driver::None => std::thread::yield_now(),
    }
}

type Slot<T> = Arc<Mutex<Option<T>>>;

enum Handle<T> {
    Checked(loom::thread::JoinHandle<T>),
    Own(usize, Slot<T>),
    Std(std::thread::JoinHandle<T>),
}

/// A thread that was started.
pub struct JoinHandle<T>(Handle<T>, Thread);

impl<T> JoinHandle<T> {
    /// Waits for its end and takes its result.
    ///
    /// # Errors
    ///
    /// Gives the payload of its panic. A panic in a thread of a model refutes the model.
    #[track_caller]
    pub fn join(self) -> std::thread::Result<T> {
        match self.0 {
            Handle::Checked(handle) => {
                stall::rests();
                let result = handle.join();
                stall::moves();
                result
            }
            Handle::Own(thread, slot) => {
                explore::join(Location::caller(), thread);
                let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                result.ok_or_else(|| Box::new("the thread panicked") as Box<dyn Any + Send>)
            }
            Handle::Std(handle) => handle.join(),
        }
    }

    /// Its handle.
    pub fn thread(&self) -> &Thread {
        &self.1
    }
}

impl<T> std::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JoinHandle").field(&self.1).finish()
    }
}

/// Starts a thread.
#[track_caller]
pub fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match driver() {
        Driver::Loom => {
            let handle = loom::thread::spawn(move || {
                stall::started();
                let result = f();
                drop(take_locals());
                stall::rests();
                result
            });
            let thread = Thread(Id::Checked(handle.thread().clone()));
            JoinHandle(Handle::Checked(handle), thread)
        }
        Driver::Explorer => {
            let slot = Slot::default();
            let result = slot.clone();
            let thread = explore::spawn(Location::caller(), move || {
                let value = f();
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            });
            JoinHandle(Handle::Own(thread, slot), Thread(Id::Own(thread)))
        }
        Driver::None => {
            let handle = std::thread::spawn(f);
            let thread = Thread(Id::Std(handle.thread().clone()));
            JoinHandle(Handle::Std(handle), thread)
        }
    }
}

type Locals = HashMap<usize, Rc<dyn Any>>;

thread_local! {
    /// Outside of explorations: by model thread, or by OS thread under the number 0.
    static LOCALS: RefCell<HashMap<u64, Locals>> = RefCell::default();
}

/// Which thread-locals are the caller's.
fn owner() -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    if driver() == Driver::Loom {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(loom::thread::current().id())
    } else {
        0
    }
}

fn take_locals() -> Locals {
    let owner = owner();
    LOCALS.with_borrow_mut(|locals| locals.remove(&owner)).unwrap_or_default()
}

/// Ends what the main thread of a model keeps.
pub(crate) fn end() {
    drop(take_locals());
}

/// A value that each thread of a model has for itself.
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    /// Calls `f` with this thread's value, made at its first use.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let key = &raw const *self as usize;
        let explored = driver() == Driver::Explorer;
        if explored {
            explore::own_step(super::step::Kind::ThreadLocal, Location::caller());
        }
        let owner = owner();
        let known = if explored {
            explore::local(key)
        } else {
            LOCALS.with_borrow(|locals| locals.get(&owner).and_then(|mine| mine.get(&key).cloned()))
        };
        let value = known.unwrap_or_else(|| {
            let fresh: Rc<dyn Any> = Rc::new((self.init)());
            if explored {
                explore::put_local(key, fresh.clone());
            } else {
                LOCALS.with_borrow_mut(|locals| locals.entry(owner).or_default().insert(key, fresh.clone()));
            }
            fresh
        });
        f(value.downcast_ref().expect("a key has one type"))
    }
}

impl<T: 'static> std::fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}
