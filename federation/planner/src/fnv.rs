//! The hash that breaks ties between clusters.
//!
//! It is kubefed's: 32-bit FNV-1 (multiply, then xor) of the cluster's name followed by `namespace/name` of the
//! object. Two objects order the same clusters differently, so the odd replicas of many objects do not pile up in one
//! cluster, and one object orders them the same way each time.

const OFFSET_BASIS: u32 = 2_166_136_261;
const PRIME: u32 = 16_777_619;

/// Place of a cluster among equals, for the object called `key` (`namespace/name`). Lower goes first.
pub(crate) fn tie_hash(cluster: &str, key: &str) -> u32 {
    cluster
        .bytes()
        .chain(key.bytes())
        .fold(OFFSET_BASIS, |hash, byte| hash.wrapping_mul(PRIME) ^ u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::tie_hash;

    #[test]
    fn multiplies_before_it_xors() {
        // Published FNV-1 values; FNV-1a gives 0xe40c292c for "a".
        assert_eq!(tie_hash("", ""), 0x811c_9dc5);
        assert_eq!(tie_hash("a", ""), 0x050c_5d7e);
        assert_eq!(tie_hash("foo", "bar"), 0x31f0_b262);
    }
}
