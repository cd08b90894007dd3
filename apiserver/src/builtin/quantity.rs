//! Resource quantities: `500m`, `1.5Gi`, `2e3`.

use serde_json::Value;

/// Digits after the point of a billionth, the finest amount Kubernetes tells apart.
const SCALE_DIGITS: i32 = 9;
/// Billionths in one.
const ONE: i128 = 1_000_000_000;
/// Exponents beyond this are larger than any amount there is.
const MAX_EXPONENT: i32 = 27;

/// The amount in billionths, or `None` when it is no quantity. Amounts too large are the largest one.
pub fn quantity(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (factor, exponent) = suffix_of(suffix)?;
    let mantissa = format!("{whole}{fraction}");
    let mantissa: i128 = if mantissa.len() > 30 { i128::MAX } else { mantissa.parse().ok()? };
    let shift = exponent + SCALE_DIGITS - i32::try_from(fraction.len()).ok()?;
    let scaled = mantissa.saturating_mul(factor);
    let power = 10_i128.saturating_pow(shift.unsigned_abs());
    let amount = if shift >= 0 {
        scaled.saturating_mul(power)
    } else {
        // What is finer than a billionth rounds up, away from zero.
        scaled / power + i128::from(scaled % power != 0)
    };
    Some(if negative { -amount } else { amount })
}

/// Suffixes of thousands, from billionths on.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Suffixes of 1024, from one on.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The amount as Kubernetes writes it: the largest suffix of its family with which it is a whole number.
pub(crate) fn canonical(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let amount = parse(&text)?;
    if text.ends_with('i') && amount.abs() >= 1024 * ONE {
        let mut whole = amount / ONE + amount.signum() * i128::from(amount % ONE != 0);
        let mut power = 0;
        while whole % 1024 == 0 && power + 1 < BINARY.len() {
            whole /= 1024;
            power += 1;
        }
        return Some(format!("{whole}{}", BINARY[power]));
    }
    let (mut amount, mut power) = (amount, 0);
    while amount != 0 && amount % 1000 == 0 && power + 1 < DECIMAL.len() {
        amount /= 1000;
        power += 1;
    }
    let exponential =
        text.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')).ends_with(['e', 'E']);
    Some(match DECIMAL[power] {
        _ if amount == 0 => "0".to_owned(),
        "" => amount.to_string(),
        _ if exponential => format!("{amount}e{}", 3 * power as i32 - SCALE_DIGITS),
        suffix => format!("{amount}{suffix}"),
    })
}

/// A suffix as a factor and a power of ten.
fn suffix_of(suffix: &str) -> Option<(i128, i32)> {
    let binary = |power: u32| Some((1_i128 << (10 * power), 0));
    let decimal = |exponent: i32| Some((1, exponent));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            decimal(exponent.clamp(-MAX_EXPONENT, MAX_EXPONENT))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SCALE: i128 = ONE;

    #[test]
    fn amounts_are_written_in_their_shortest_form() {
        for (given, expected) in [
            (json!("1000m"), "1"),
            (json!("1024Mi"), "1Gi"),
            (json!("512Ki"), "512Ki"),
            (json!("0.5Ki"), "512"),
            (json!("1.5Gi"), "1536Mi"),
            (json!(0.5), "500m"),
            (json!(2000), "2k"),
            (json!("1e3"), "1e3"),
            (json!("0"), "0"),
            (json!("-1"), "-1"),
        ] {
            assert_eq!(canonical(&given).as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn quantities_compare_across_their_spellings() {
        let table = [
            ("1", SCALE),
            ("1000m", SCALE),
            ("0.5", SCALE / 2),
            (".5", SCALE / 2),
            ("-1", -SCALE),
            ("1k", 1000 * SCALE),
            ("1e3", 1000 * SCALE),
            ("1Ki", 1024 * SCALE),
            ("1.5Gi", (3 * SCALE) << 29),
            ("100n", 100),
            ("0.1n", 1),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(quantity(&json!(2)), Some(2 * SCALE));
        for bad in ["", "Gi", "1 Gi", "1.2.3", "1x", "-", "1e"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(parse(&"9".repeat(60)).is_some());
    }
}
