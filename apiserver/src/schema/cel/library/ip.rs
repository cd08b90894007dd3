//! Addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cel::common::types::STRING_TYPE;
use cel::{DeclarationError, Env, ExecutionError};

use super::{answer, failed, given, number, opaque, text, words, yes};

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ip(IpAddr);

/// A network: an address and how many of its bits name the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cidr(IpAddr, u8);

opaque!(Ip, "net.IP", IP);
opaque!(Cidr, "net.CIDR", CIDR);

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(IP.to_owned())?;
    env.add_type(CIDR.to_owned())?;
    addresses(env)?;
    networks(env)
}

fn addresses(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("ip", "string_to_ip", vec![STRING_TYPE], |a| answer(Ip(parse_ip(text(&a, 0)?)?)))?;
    env.add_overload("isIP", "is_ip", vec![STRING_TYPE], |a| yes(parse_ip(text(&a, 0)?).is_ok()))?;
    env.add_overload("ip.isCanonical", "ip_is_canonical", vec![STRING_TYPE], |a| {
        let written = text(&a, 0)?;
        yes(parse_ip(written)?.to_string() == written)
    })?;
    env.add_overload("string", "ip_to_string", vec![IP.to_owned()], |a| {
        words(given::<Ip>(&a, 0)?.0.to_string())
    })?;
    env.add_member_overload("family", "ip_family", IP.to_owned(), vec![], |a| {
        number(if given::<Ip>(&a, 0)?.0.is_ipv4() { 4 } else { 6 })
    })?;
    env.add_member_overload("isUnspecified", "ip_is_unspecified", IP.to_owned(), vec![], |a| {
        yes(given::<Ip>(&a, 0)?.0.is_unspecified())
    })?;
    env.add_member_overload("isLoopback", "ip_is_loopback", IP.to_owned(), vec![], |a| {
        yes(given::<Ip>(&a, 0)?.0.is_loopback())
    })?;
    env.add_member_overload(
        "isLinkLocalMulticast",
        "ip_is_link_local_multicast",
        IP.to_owned(),
        vec![],
        |a| yes(is_link_local_multicast(given::<Ip>(&a, 0)?.0)),
    )?;
    env.add_member_overload("isLinkLocalUnicast", "ip_is_link_local_unicast", IP.to_owned(), vec![], |a| {
        yes(is_link_local_unicast(given::<Ip>(&a, 0)?.0))
    })?;
    env.add_member_overload("isGlobalUnicast", "ip_is_global_unicast", IP.to_owned(), vec![], |a| {
        let ip = given::<Ip>(&a, 0)?.0;
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        let local = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local_unicast(ip);
        yes(!broadcast && !local)
    })
}

fn networks(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("cidr", "string_to_cidr", vec![STRING_TYPE], |a| answer(parse_cidr(text(&a, 0)?)?))?;
    env.add_overload("isCIDR", "is_cidr", vec![STRING_TYPE], |a| yes(parse_cidr(text(&a, 0)?).is_ok()))?;
    env.add_overload("string", "cidr_to_string", vec![CIDR.to_owned()], |a| {
        words(given::<Cidr>(&a, 0)?.to_string())
    })?;
    env.add_member_overload(
        "containsIP",
        "cidr_contains_ip_string",
        CIDR.to_owned(),
        vec![STRING_TYPE],
        |a| yes(given::<Cidr>(&a, 0)?.contains(parse_ip(text(&a, 1)?)?)),
    )?;
    env.add_member_overload(
        "containsIP",
        "cidr_contains_ip_ip",
        CIDR.to_owned(),
        vec![IP.to_owned()],
        |a| yes(given::<Cidr>(&a, 0)?.contains(given::<Ip>(&a, 1)?.0)),
    )?;
    env.add_member_overload(
        "containsCIDR",
        "cidr_contains_cidr_string",
        CIDR.to_owned(),
        vec![STRING_TYPE],
        |a| yes(given::<Cidr>(&a, 0)?.holds(&parse_cidr(text(&a, 1)?)?)),
    )?;
    env.add_member_overload(
        "containsCIDR",
        "cidr_contains_cidr",
        CIDR.to_owned(),
        vec![CIDR.to_owned()],
        |a| yes(given::<Cidr>(&a, 0)?.holds(given::<Cidr>(&a, 1)?)),
    )?;
    env.add_member_overload("ip", "cidr_ip", CIDR.to_owned(), vec![], |a| {
        answer(Ip(given::<Cidr>(&a, 0)?.0))
    })?;
    env.add_member_overload("prefixLength", "cidr_prefix_length", CIDR.to_owned(), vec![], |a| {
        number(given::<Cidr>(&a, 0)?.1.into())
    })?;
    env.add_member_overload("masked", "cidr_masked", CIDR.to_owned(), vec![], |a| {
        let network = given::<Cidr>(&a, 0)?;
        answer(Cidr(network.mask(network.0), network.1))
    })
}

impl Cidr {
    /// The bits of an address that name the network.
    fn mask(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => {
                let bits = u32::MAX.checked_shl(32 - u32::from(self.1)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & bits))
            }
            IpAddr::V6(ip) => {
                let bits = u128::MAX.checked_shl(128 - u32::from(self.1)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & bits))
            }
        }
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.0.is_ipv4() == ip.is_ipv4() && self.mask(ip) == self.mask(self.0)
    }

    fn holds(&self, other: &Self) -> bool {
        self.1 <= other.1 && self.contains(other.0)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, ExecutionError> {
    let wrong = |why: &str| {
        failed("ip", format!("IP Address {text:?} parse error during conversion from string: {why}"))
    };
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Err(failed("ip", format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err(wrong(&format!("ParseAddr({text:?}): unable to parse IP"))),
    }
}

fn parse_cidr(text: &str) -> Result<Cidr, ExecutionError> {
    let wrong = || {
        failed(
            "cidr",
            format!(
                "network address parse error during conversion from string: netip.ParsePrefix({text:?}): no '/'"
            ),
        )
    };
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address = parse_ip(address)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let plain = !bits.is_empty()
        && bits.bytes().all(|b| b.is_ascii_digit())
        && (bits == "0" || !bits.starts_with('0'));
    match bits.parse::<u8>() {
        Ok(bits) if bits <= most && plain => Ok(Cidr(address, bits)),
        _ => Err(failed(
            "cidr",
            format!(
                "network address parse error during conversion from string: netip.ParsePrefix({text:?}): prefix length out of range"
            ),
        )),
    }
}

fn is_link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}
