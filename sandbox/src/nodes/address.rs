//! Pod addresses of one simulated cluster.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// Hands out the addresses of a /16, each to one pod at a time.
///
/// A freed address is used again only when the range was used up once, so that an address that
/// stays the same means a pod that stayed.
#[derive(Debug)]
pub struct AddressPool {
    network: u8,
    next: u16,
    freed: BTreeSet<u16>,
    held: HashMap<String, u16>,
}

impl AddressPool {
    /// The pool of the cluster with this index: `10.<64 + index>.0.0/16`, wrapping at 192 clusters.
    pub fn new(index: usize) -> Self {
        let network = 64 + u8::try_from(index % 192).unwrap_or_default();
        Self { network, next: 1, freed: BTreeSet::new(), held: HashMap::new() }
    }

    /// The address of the pod with this uid; the same one each time. `None` when all are in use.
    pub fn assign(&mut self, uid: &str) -> Option<Ipv4Addr> {
        if let Some(host) = self.held.get(uid) {
            return Some(self.address(*host));
        }
        let host = if self.next < u16::MAX {
            self.next += 1;
            self.next
        } else {
            self.freed.pop_first()?
        };
        self.held.insert(uid.to_owned(), host);
        Some(self.address(host))
    }

    /// Takes note of an address that a pod has already, so that nobody else gets it.
    pub fn adopt(&mut self, uid: &str, address: Ipv4Addr) {
        let [_, network, high, low] = address.octets();
        if network == self.network {
            let host = u16::from_be_bytes([high, low]);
            self.next = self.next.max(host);
            self.held.insert(uid.to_owned(), host);
        }
    }

    /// Gives the address of a pod that is gone back.
    pub fn release(&mut self, uid: &str) {
        if let Some(host) = self.held.remove(uid) {
            self.freed.insert(host);
        }
    }

    fn address(&self, host: u16) -> Ipv4Addr {
        let [high, low] = host.to_be_bytes();
        Ipv4Addr::new(10, self.network, high, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_held_by_one_pod_and_not_used_again_soon() {
        let mut pool = AddressPool::new(0);
        let first = pool.assign("a").unwrap();
        assert_eq!(pool.assign("a"), Some(first));
        pool.release("a");
        assert_ne!(pool.assign("b"), Some(first));
        pool.adopt("c", Ipv4Addr::new(10, 64, 0, 9));
        assert_eq!(pool.assign("d"), Some(Ipv4Addr::new(10, 64, 0, 10)));
    }

    #[test]
    fn a_full_range_hands_out_freed_addresses_only() {
        let mut pool = AddressPool::new(1);
        let mut count = 0;
        while pool.assign(&count.to_string()).is_some() {
            count += 1;
        }
        assert_eq!(count, 65534);
        pool.release("7");
        assert!(pool.assign("x").is_some());
        assert!(pool.assign("y").is_none());
    }
}
