//! Work done by a few threads.

use std::sync::{Mutex, PoisonError};

use super::error::Error;
use crate::event::{Linked, Observer};

/// Does `work` on every item, by up to `threads` threads. The first failure ends the others.
///
/// # Errors
/// The first failure.
pub(super) fn work_through<T: Send>(
    threads: usize,
    items: Vec<T>,
    observer: &dyn Observer,
    work: impl Fn(T, &dyn Observer) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let waiting = Mutex::new(items.into_iter());
    let failure = Mutex::new(None);
    let linked = Linked::to(observer);
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.next().filter(|_| !linked.has_failed())
    };
    let worker = || {
        while let Some(item) = next() {
            if let Err(error) = work(item, &linked) {
                // Only the first is the cause; the others were interrupted by it.
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(error);
                // In this order: who is interrupted by the failure must not be taken for its cause.
                linked.fail();
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;

    #[test]
    fn every_item_is_worked_on_once() {
        let sum = Mutex::new(0);
        let work = |item: u32, _: &dyn Observer| {
            *sum.lock().unwrap() += item;
            Ok(())
        };
        work_through(4, (1..=100).collect(), &Silent, work).unwrap();
        assert_eq!(*sum.lock().unwrap(), 5050);
        work_through(4, Vec::new(), &Silent, work).unwrap();
    }

    #[test]
    fn the_first_failure_ends_the_others() {
        let work = |item: u32, observer: &dyn Observer| {
            if item == 7 {
                let url = String::new();
                return Err(Error::Status { url, status: 418 });
            }
            match observer.is_cancelled() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        };
        let error = work_through(3, (1..1000).collect(), &Silent, work).unwrap_err();
        assert!(
            matches!(error, Error::Status { status: 418, .. }),
            "{error}"
        );
    }
}
