//! Which handles are alive. A handle is an odd number that is never used again, so that none is ever the address of an object.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chancery::{Error, ErrorCode, KeySource};

use crate::event::Happened;
use crate::page::Entries;
use crate::session::Session;
use crate::text::Text;

/// What a handle stands for.
#[derive(Clone)]
pub(crate) enum Object {
    Client(Arc<Session>),
    Event(Arc<Happened>),
    Key(Arc<KeySource>),
    Page(Arc<Entries>),
    Text(Arc<Text>),
}

/// A kind of object that handles stand for.
pub(crate) trait Kind: Sized {
    fn wrap(this: Arc<Self>) -> Object;
    fn unwrap(object: &Object) -> Option<&Arc<Self>>;
}

macro_rules! kinds {
    ($($variant:ident($kind:ty)),*) => {
        $(impl Kind for $kind {
            fn wrap(this: Arc<Self>) -> Object {
                Object::$variant(this)
            }

            fn unwrap(object: &Object) -> Option<&Arc<Self>> {
                if let Object::$variant(this) = object { Some(this) } else { None }
            }
        })*
    };
}

kinds!(Client(Session), Event(Happened), Key(KeySource), Page(Entries), Text(Text));

struct Registry {
    next: usize,
    live: BTreeMap<usize, Object>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next: 1, live: BTreeMap::new() });

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a handle for an object.
pub(crate) fn add<K: Kind>(object: K) -> Result<*mut c_void, Error> {
    let mut registry = registry();
    let number = registry.next;
    // Two to the power of 63 handles need longer than any process lives; where a word has 32 bits it is an error, and not a reuse.
    registry.next = number.checked_add(2).ok_or(ErrorCode::Internal)?;
    registry.live.insert(number, K::wrap(Arc::new(object)));
    Ok(std::ptr::without_provenance_mut(number))
}

/// Returns what a handle stands for.
pub(crate) fn get<K: Kind>(handle: *const c_void) -> Result<Arc<K>, Error> {
    let number = handle.addr();
    let registry = registry();
    match registry.live.get(&number) {
        _ if number == 0 => Err(ErrorCode::NullArgument.into()),
        Some(object) => K::unwrap(object).cloned().ok_or_else(|| ErrorCode::WrongHandle.into()),
        None if number % 2 == 1 && number < registry.next => Err(ErrorCode::HandleClosed.into()),
        None => Err(ErrorCode::WrongHandle.into()),
    }
}

/// Ends a handle and returns what it stood for; `None` if it is none of this kind, or none any more.
pub(crate) fn remove<K: Kind>(handle: *const c_void) -> Option<Arc<K>> {
    let mut registry = registry();
    let object = registry.live.get(&handle.addr()).and_then(K::unwrap).cloned()?;
    registry.live.remove(&handle.addr());
    Some(object)
}

/// Returns how many handles are alive.
pub(crate) fn count() -> usize {
    registry().live.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Error>) -> ErrorCode {
        result.err().map_or(ErrorCode::Internal, |error| error.code())
    }

    #[test]
    fn a_handle_is_known_by_its_kind_and_never_used_again() {
        let handle = add(Text::new("tea".into())).unwrap();
        assert_eq!(get::<Text>(handle).unwrap().as_bytes(), b"tea");
        assert_eq!(code(get::<KeySource>(handle)), ErrorCode::WrongHandle);
        assert!(remove::<KeySource>(handle).is_none(), "freed as what it is, or not at all");
        assert!(remove::<Text>(handle).is_some());
        assert!(remove::<Text>(handle).is_none());
        assert_eq!(code(get::<Text>(handle)), ErrorCode::HandleClosed);
        let next = add(Text::new("tea".into())).unwrap();
        assert_ne!(next, handle);
        assert!(remove::<Text>(next).is_some());
    }

    #[test]
    fn what_was_never_a_handle_is_not_looked_into() {
        let object = 7_u64;
        assert_eq!(code(get::<Text>((&raw const object).cast())), ErrorCode::WrongHandle);
        assert_eq!(code(get::<Text>(std::ptr::without_provenance(usize::MAX))), ErrorCode::WrongHandle);
        assert_eq!(code(get::<Text>(std::ptr::null())), ErrorCode::NullArgument);
    }
}
