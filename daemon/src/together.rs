//! Several futures in one task, each with a key: the one that ends next.
//!
//! All of them are looked at whenever one may have moved. That is for a few, which is what those who
//! wait here have: a check's questions, the servers that one question has gone to.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// What is waited for.
pub struct Together<Key, F>(Vec<(Key, Pin<Box<F>>)>)
where
    F: ?Sized;

impl<Key, F: ?Sized> Default for Together<Key, F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<Key: Copy, F: Future + ?Sized> Together<Key, F> {
    /// Waits for one more.
    pub fn push(&mut self, key: Key, future: Pin<Box<F>>) {
        self.0.push((key, future));
    }

    /// The next that has ended; none if none is left.
    pub fn next(&mut self) -> impl Future<Output = Option<(Key, F::Output)>> {
        poll_fn(|context| {
            for place in 0..self.0.len() {
                let Some((key, future)) = self.0.get_mut(place) else {
                    break;
                };
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    let key = *key;
                    drop(self.0.swap_remove(place));
                    return Poll::Ready(Some((key, output)));
                }
            }
            if self.0.is_empty() {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::Together;

    #[tokio::test]
    async fn they_come_as_they_end_and_then_there_are_none() {
        let mut together = Together::default();
        let mut tell = Vec::new();
        for key in 0..3 {
            let (teller, told) = oneshot::channel();
            tell.push(teller);
            together.push(key, Box::pin(told));
        }
        for key in [1, 0, 2] {
            // Each is taken once, so the place of its teller is left to another.
            let teller = std::mem::replace(&mut tell[key], oneshot::channel().0);
            teller.send(key * 10).expect("waited for");
            assert_eq!(together.next().await, Some((key, Ok(key * 10))));
        }
        assert_eq!(together.next().await, None);
    }
}
