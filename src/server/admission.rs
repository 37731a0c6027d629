//! Who may open a connection, and who may send a request, by network address.
//!
//! The address is that of the TCP connection: headers such as
//! `X-Forwarded-For` are the caller's own words and change nothing. IPv6
//! callers are told apart by /64, since one subscriber has all of one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::limits::{Limits, Rate};
use crate::base::budget::Buckets;

/// What callers are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddressKey([u8; 9]);

impl AddressKey {
    /// The key of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        let mut key = [0; 9];
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                for (to, from) in key.iter_mut().zip([4].iter().chain(&v4.octets())) {
                    *to = *from;
                }
            }
            IpAddr::V6(v6) => {
                for (to, from) in key.iter_mut().zip([6].iter().chain(&v6.octets())) {
                    *to = *from;
                }
            }
        }
        Self(key)
    }
}

/// A rate per address, or none.
#[derive(Debug)]
pub(super) struct AddressRate(Option<Buckets>);

impl AddressRate {
    pub(super) fn new(rate: Option<Rate>, addresses: usize) -> Self {
        Self(rate.map(|r| Buckets::new(addresses, r.per_second, r.burst)))
    }

    /// Takes one, or says how long to wait.
    pub(super) fn take(&self, key: AddressKey, uptime: Duration) -> Result<(), Duration> {
        self.0.as_ref().map_or(Ok(()), |b| b.take(&key.0, uptime))
    }
}

/// The limit that a new connection ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
    Rate,
}

/// Counts the open connections of one listener.
#[derive(Debug)]
pub(super) struct Door {
    total: usize,
    per_address: usize,
    rate: AddressRate,
    // Taken when a connection opens or closes, never by a request.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<AddressKey, usize>,
}

impl Door {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            total: limits.connections,
            per_address: limits.connections_per_address,
            rate: AddressRate::new(limits.connection_rate, limits.addresses),
            open: Mutex::default(),
        })
    }

    /// Lets a connection in for as long as the guest is kept.
    pub(super) fn enter(
        self: &Arc<Self>,
        key: AddressKey,
        uptime: Duration,
    ) -> Result<Guest, Full> {
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if open.total >= self.total {
                return Err(Full::Total);
            }
            let here = open.by_address.get(&key).copied().unwrap_or(0);
            if here >= self.per_address {
                return Err(Full::Address);
            }
            // Last, so that a connection that is refused anyway costs no token.
            self.rate.take(key, uptime).map_err(|_| Full::Rate)?;
            open.by_address.insert(key, here + 1);
            open.total += 1;
        }
        Ok(Guest {
            door: Arc::clone(self),
            key,
        })
    }
}

/// One open connection; leaves when dropped.
#[derive(Debug)]
pub(super) struct Guest {
    door: Arc<Door>,
    key: AddressKey,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut open = self
            .door
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        // Entries of zero go, or the map would remember every address ever seen.
        match open.by_address.get_mut(&self.key) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                open.by_address.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> AddressKey {
        AddressKey::of(address.parse().unwrap())
    }

    fn door(total: usize, per_address: usize, rate: Option<Rate>) -> Arc<Door> {
        Door::new(&Limits {
            connections: total,
            connections_per_address: per_address,
            connection_rate: rate,
            ..Limits::default()
        })
    }

    #[test]
    fn ipv6_is_told_apart_by_its_64_and_mapped_ipv4_is_ipv4() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_ne!(key("0.0.0.0"), key("::"));
    }

    #[test]
    fn r_03_one_address_cannot_take_every_place() {
        let door = door(3, 2, None);
        let (a, b) = (key("192.0.2.1"), key("192.0.2.2"));
        let first = door.enter(a, Duration::ZERO).unwrap();
        let _second = door.enter(a, Duration::ZERO).unwrap();
        assert_eq!(door.enter(a, Duration::ZERO).unwrap_err(), Full::Address);
        let _third = door.enter(b, Duration::ZERO).unwrap();
        assert_eq!(door.enter(b, Duration::ZERO).unwrap_err(), Full::Total);
        drop(first);
        assert!(door.enter(a, Duration::ZERO).is_ok());
    }

    #[test]
    fn places_are_given_back_and_nothing_is_remembered() {
        let door = door(100, 100, None);
        for n in 0..100_u8 {
            drop(door.enter(AddressKey::of([192, 0, 2, n].into()), Duration::ZERO));
        }
        let open = door.open.lock().unwrap();
        assert_eq!((open.total, open.by_address.len()), (0, 0));
    }

    #[test]
    fn connections_have_a_rate() {
        let rate = Rate {
            per_second: 1,
            burst: 1,
        };
        let door = door(9, 9, Some(rate));
        let a = key("192.0.2.1");
        assert!(door.enter(a, Duration::ZERO).is_ok());
        assert_eq!(door.enter(a, Duration::ZERO).unwrap_err(), Full::Rate);
        assert!(door.enter(key("192.0.2.2"), Duration::ZERO).is_ok());
        assert!(door.enter(a, Duration::from_secs(1)).is_ok());
    }
}
