//! Who waits for a session: one line for each client and key, so that nobody's crowd stands in another's way.
//!
//! Bounded in all, and one client fills at most half of it. Serving costs one look at each line, however long they are.
//! Does not know: what is waited for, or whether there is one.

use super::pool::Key;
use crate::model::ClientId;
use std::collections::VecDeque;

/// `W` is a place in a line.
#[derive(Debug)]
pub(super) struct Queue<W> {
    lines: Vec<Line<W>>,
    waiting: usize,
    /// Rises with everybody who joins: who came first.
    ticket: u64,
    most: usize,
}

#[derive(Debug)]
struct Line<W> {
    key: Key,
    client: ClientId,
    waiters: VecDeque<(u64, W)>,
}

/// No more may wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<W> Queue<W> {
    pub(super) fn new(most: usize) -> Self {
        Self { lines: Vec::new(), waiting: 0, ticket: 0, most }
    }

    pub(super) fn is_waited_for(&self, key: &Key) -> bool {
        self.lines.iter().any(|line| line.key == *key)
    }

    pub(super) fn join(
        &mut self,
        key: Key,
        client: &ClientId,
        waiter: W,
        gone: impl Fn(&W) -> bool,
    ) -> Result<(), Full> {
        let share = self.most.div_ceil(2);
        if self.waiting >= self.most || self.of(client) >= share {
            self.forget(gone);
            if self.waiting >= self.most || self.of(client) >= share {
                return Err(Full);
            }
        }
        self.ticket += 1;
        self.waiting += 1;
        let entry = (self.ticket, waiter);
        match self.lines.iter_mut().find(|line| line.key == key && line.client == *client) {
            Some(line) => line.waiters.push_back(entry),
            None => self.lines.push(Line { key, client: client.clone(), waiters: VecDeque::from([entry]) }),
        }
        Ok(())
    }

    fn of(&self, client: &ClientId) -> usize {
        self.lines.iter().filter(|line| line.client == *client).map(|line| line.waiters.len()).sum()
    }

    /// Those who no longer wait leave their lines.
    pub(super) fn forget(&mut self, gone: impl Fn(&W) -> bool) {
        for line in &mut self.lines {
            line.waiters.retain(|(_, waiter)| !gone(waiter));
        }
        self.lines.retain(|line| !line.waiters.is_empty());
        self.waiting = self.lines.iter().map(|line| line.waiters.len()).sum();
    }

    /// Every line as key and client, who is to be served first in front: who holds least, then who came first.
    pub(super) fn order(&self, held: impl Fn(&Key, &ClientId) -> usize) -> Vec<(Key, ClientId)> {
        let mut lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                let came = line.waiters.front().map_or(u64::MAX, |(ticket, _)| *ticket);
                (held(&line.key, &line.client), came, line)
            })
            .collect();
        lines.sort_by_key(|(held, came, _)| (*held, *came));
        lines.into_iter().map(|(_, _, line)| (line.key.clone(), line.client.clone())).collect()
    }

    /// The first of a line.
    pub(super) fn take(&mut self, key: &Key, client: &ClientId) -> Option<W> {
        let at = self.lines.iter().position(|line| line.key == *key && line.client == *client)?;
        let (_, waiter) = self.lines[at].waiters.pop_front()?;
        self.waiting -= 1;
        if self.lines[at].waiters.is_empty() {
            self.lines.swap_remove(at);
        }
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{M3User, ProgramName};

    fn client(name: &str) -> ClientId {
        ClientId { issuer: "test".into(), id: name.into() }
    }

    fn key() -> Key {
        let user = M3User::parse("MIDEMO").expect("a user of the test");
        Key { user, program: ProgramName::parse("CRS610MI").expect("a program of the test"), place: None }
    }

    fn everybody_stays(_: &u32) -> bool {
        false
    }

    #[test]
    fn who_holds_less_goes_first_and_then_who_came_first() {
        let mut queue = Queue::new(10);
        for (name, waiter) in [("many", 1), ("many", 2), ("few", 3), ("none", 4)] {
            queue.join(key(), &client(name), waiter, everybody_stays).expect("there is room");
        }
        let held = |_: &Key, client: &ClientId| usize::from(&*client.id == "many") * 3;
        let order: Vec<_> = queue.order(held).into_iter().map(|(_, client)| client.id.to_string()).collect();
        assert_eq!(order, ["few", "none", "many"]);
        assert_eq!(queue.take(&key(), &client("many")), Some(1));
        assert_eq!(queue.take(&key(), &client("many")), Some(2));
        assert_eq!(queue.take(&key(), &client("many")), None);
        assert!(queue.is_waited_for(&key()));
    }

    #[test]
    fn one_client_fills_at_most_half_of_the_queue() {
        let mut queue = Queue::new(4);
        let mut join = |name: &str| queue.join(key(), &client(name), 0, everybody_stays);
        assert_eq!([join("a"), join("a"), join("a")], [Ok(()), Ok(()), Err(Full)]);
        assert_eq!([join("b"), join("c"), join("d")], [Ok(()), Ok(()), Err(Full)]);
    }

    #[test]
    fn who_went_away_leaves_his_place_to_others() {
        let mut queue = Queue::new(2);
        assert_eq!(queue.join(key(), &client("a"), 1, everybody_stays), Ok(()));
        assert_eq!(queue.join(key(), &client("a"), 2, everybody_stays), Err(Full));
        assert_eq!(queue.join(key(), &client("a"), 2, |waiter| *waiter == 1), Ok(()));
        assert_eq!(queue.take(&key(), &client("a")), Some(2));
    }
}
