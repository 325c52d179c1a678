//! The connections: limits in total and per client, and which connection is closed for a new one.
//!
//! A connection without a request in progress can be closed without harm. When a client reaches its limit, its connection
//! that has waited longest is closed for the new one. When the total is reached, one of the client with the most
//! connections is closed. A connection with a request in progress is never closed for another one.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::limits::{Limits, Peer};

#[derive(Debug)]
pub(super) struct Room {
    limits: Limits,
    seats: Mutex<Seats>,
    /// Notified when a new connection may be accepted again. Only one task waits for it.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: HashMap<u64, (Peer, Arc<Seat>)>,
    next: u64,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    phase: watch::Sender<Phase>,
    /// Of its room.
    changed: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the head of a request, since connecting or since the last answer.
    Waiting(Instant),
    /// A request is being answered.
    Answering,
    /// The answer is complete, but may not be sent entirely.
    Sending,
    /// The connection is being closed for another one.
    Leaving,
}

impl Seat {
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        Self { phase: watch::Sender::new(Phase::Waiting(Instant::now())), changed }
    }

    fn waits_since(&self) -> Option<Instant> {
        match *self.phase.borrow() {
            Phase::Waiting(since) => Some(since),
            _ => None,
        }
    }

    fn change(&self, change: impl FnOnce(Phase) -> Option<Phase>) -> bool {
        self.phase.send_if_modified(|phase| match change(*phase) {
            Some(next) => {
                *phase = next;
                true
            }
            None => false,
        })
    }

    /// Everything has been sent.
    pub(super) fn flushed(&self) {
        if self.change(|phase| (phase == Phase::Sending).then(|| Phase::Waiting(Instant::now()))) {
            self.changed.notify_one();
        }
    }

    /// Done when the connection is to be closed: it makes way, or a request took longer than `limit` to begin.
    pub(super) async fn is_over(&self, limit: Duration) {
        let mut phase = self.phase.subscribe();
        loop {
            let now = *phase.borrow_and_update();
            match now {
                Phase::Leaving => return,
                Phase::Waiting(since) => {
                    tokio::select! {
                        () = tokio::time::sleep_until((since + limit).into()) => {
                            if self.change(|phase| (phase == now).then_some(Phase::Leaving)) {
                                return;
                            }
                        }
                        _ = phase.changed() => {}
                    }
                }
                Phase::Answering | Phase::Sending => drop(phase.changed().await),
            }
        }
    }
}

/// Why no connection is accepted: all have a request in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All connections that the client may have.
    Client,
    /// All connections.
    All,
}

/// A connection's seat, which is freed when this is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    room: Arc<Room>,
    number: u64,
    pub(super) peer: Peer,
    pub(super) seat: Arc<Seat>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.room.lock().taken.remove(&self.number);
        self.room.changed.notify_one();
    }
}

/// While this exists, a request is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Seat>);

impl Guest {
    pub(super) fn answering(&self) -> Answering {
        self.seat.change(|phase| (phase != Phase::Leaving).then_some(Phase::Answering));
        Answering(Arc::clone(&self.seat))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.change(|phase| (phase == Phase::Answering).then_some(Phase::Sending));
    }
}

impl Room {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, seats: Mutex::default(), changed: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a connection of any client can be accepted.
    pub(super) async fn opens(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let seats = self.lock();
                if seats.taken.len() < self.limits.connections || seats.longest_waiting(None).is_some() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Closes every connection without a request under way.
    pub(super) fn dismiss(&self) {
        for (_, seat) in self.lock().taken.values() {
            seat.change(|phase| matches!(phase, Phase::Waiting(_)).then_some(Phase::Leaving));
        }
    }

    /// Takes a seat for a connection of `peer`.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer) -> Result<Guest, Full> {
        let mut seats = self.lock();
        let of_peer = seats.taken.values().filter(|(other, _)| *other == peer).count();
        if of_peer >= self.limits.per_client && !seats.make_way(Some(peer)) {
            return Err(Full::Client);
        }
        if seats.taken.len() >= self.limits.connections && !seats.make_way(None) {
            return Err(Full::All);
        }
        let (number, seat) = (seats.next, Arc::new(Seat::new(Arc::clone(&self.changed))));
        seats.next += 1;
        seats.taken.insert(number, (peer, Arc::clone(&seat)));
        drop(seats);
        Ok(Guest { room: Arc::clone(self), number, peer, seat })
    }
}

impl Seats {
    /// The connection of `peer` that has waited longest; without a peer, that of the client with the most connections,
    /// so that whoever has few keeps them.
    fn longest_waiting(&self, peer: Option<Peer>) -> Option<(u64, Instant)> {
        let of_peer = |other: &Peer| peer.is_none_or(|peer| peer == *other);
        let waiting = self.taken.iter().filter(|(_, (other, _))| of_peer(other));
        let waiting =
            waiting.filter_map(|(number, (peer, seat))| Some((*number, *peer, seat.waits_since()?)));
        let mut counts: HashMap<Peer, usize> = HashMap::new();
        for (peer, _) in self.taken.values() {
            *counts.entry(*peer).or_default() += 1;
        }
        let first = waiting.min_by_key(|(number, peer, since)| (Reverse(counts[peer]), *since, *number));
        first.map(|(number, _, since)| (number, since))
    }

    /// Closes the connection that has waited longest.
    fn make_way(&mut self, peer: Option<Peer>) -> bool {
        while let Some((number, since)) = self.longest_waiting(peer) {
            let left = self.taken.get(&number).is_some_and(|(_, seat)| {
                seat.change(|phase| (phase == Phase::Waiting(since)).then_some(Phase::Leaving))
            });
            // Otherwise a request has just begun on it.
            if left {
                self.taken.remove(&number);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;

    use super::*;

    fn peer(last: u8) -> Peer {
        IpAddr::from([10, 0, 0, last]).into()
    }

    fn room(connections: usize, per_client: usize) -> Arc<Room> {
        Room::new(Limits { connections, per_client, ..Limits::default() })
    }

    fn is_leaving(guest: &Guest) -> bool {
        *guest.seat.phase.borrow() == Phase::Leaving
    }

    #[tokio::test]
    async fn the_one_that_waited_longest_makes_way_and_no_request_is_broken_off() {
        let room = room(4, 2);
        let enter = |last| room.enter(peer(last));
        let (first, second) = (enter(1).unwrap(), enter(1).unwrap());
        let answering = first.answering();
        let third = enter(1).unwrap();
        assert!(is_leaving(&second) && !is_leaving(&first));
        second.seat.is_over(Duration::from_hours(1)).await;
        let also = third.answering();
        assert_eq!(enter(1).unwrap_err(), Full::Client, "both have a request");
        let (other, another) = (enter(2).unwrap(), enter(3).unwrap());
        // All four are taken: whoever waits longest goes, of whatever client.
        let fifth = enter(4).unwrap();
        assert!(is_leaving(&other) && !is_leaving(&another));
        let all = [another.answering(), fifth.answering()];
        assert_eq!(enter(5).unwrap_err(), Full::All);
        // An answer that is made but not sent is not broken off either.
        drop(answering);
        assert_eq!(enter(1).unwrap_err(), Full::Client);
        first.seat.flushed();
        room.opens().await;
        let sixth = enter(1).unwrap();
        assert!(is_leaving(&first));
        // Those that left have no seat any more.
        drop((first, second, other, also, all));
        assert_eq!(room.lock().taken.len(), 4);
        drop((third, another, fifth, sixth));
        assert_eq!(room.lock().taken.len(), 0);
    }

    #[test]
    fn whoever_has_most_makes_way_for_others() {
        let room = room(4, 3);
        let few = room.enter(peer(1)).unwrap();
        let many: Vec<_> = (0..3).map(|_| room.enter(peer(2)).unwrap()).collect();
        let others: Vec<_> = (3..5).map(|last| room.enter(peer(last)).unwrap()).collect();
        assert_eq!(many.iter().map(is_leaving).collect::<Vec<_>>(), [true, true, false]);
        assert!(!is_leaving(&few) && !others.iter().any(is_leaving));
    }

    #[tokio::test]
    async fn a_full_room_opens_when_a_request_ends() {
        let room = room(1, 1);
        let guest = room.enter(peer(1)).unwrap();
        let answering = guest.answering();
        let opened = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.opens().await }
        });
        tokio::task::yield_now().await;
        assert!(!opened.is_finished());
        drop((answering, guest));
        opened.await.unwrap();
    }

    #[tokio::test]
    async fn a_request_that_begins_too_late_ends_the_connection() {
        let room = room(2, 2);
        let guest = room.enter(peer(1)).unwrap();
        guest.seat.is_over(Duration::ZERO).await;
        assert!(is_leaving(&guest));
        // One that is answered may take its time.
        let guest = room.enter(peer(1)).unwrap();
        let answering = guest.answering();
        let over = guest.seat.is_over(Duration::ZERO);
        let mut over = std::pin::pin!(over);
        assert!(over.as_mut().now_or_never().is_none());
        drop(answering);
        assert!(over.as_mut().now_or_never().is_none());
        guest.seat.flushed();
        over.await;
    }
}
