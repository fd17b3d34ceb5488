//! Times as documents have them.

use crate::image::rfc3339;

/// A time of RFC 3339, with any fraction and offset, in UTC and whole seconds; `None` when it is none.
///
/// # Spec
/// RFC 3339, section 5.6. SPDX 2.3, section 6.9, allows no fraction and no offset.
pub(super) fn in_utc(text: &str) -> Option<String> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let is_at = |place: usize, marks: &[u8]| {
        let byte = text.as_bytes().get(place);
        byte.is_some_and(|byte| marks.contains(byte))
    };
    let is_shaped =
        is_at(4, b"-") && is_at(7, b"-") && is_at(10, b"Tt ") && is_at(13, b":") && is_at(16, b":");
    if !is_shaped {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let is_possible = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_possible {
        return None;
    }
    let mut rest = text.get(19..)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        rest = &fraction[digits..];
    }
    let offset = match rest.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2]
            if [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()) =>
        {
            let two = |tens: &u8, ones: &u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let seconds = two(h1, h2) * 3_600 + two(m1, m2) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(rfc3339(seconds - offset))
}

/// Days since 1970, by Howard Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::in_utc;

    #[test]
    fn times_lose_fraction_and_offset_and_nothing_else() {
        let table = [
            ("1980-01-01T00:00:00Z", Some("1980-01-01T00:00:00Z")),
            (
                "2024-02-29T23:59:59.999999999Z",
                Some("2024-02-29T23:59:59Z"),
            ),
            ("2024-03-01T00:30:00+01:00", Some("2024-02-29T23:30:00Z")),
            ("1969-12-31T20:00:00.5-05:30", Some("1970-01-01T01:30:00Z")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
            ("2024-02-29", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01T00:00:00+0100", None),
            ("+024-01-01T00:00:00Z", None),
            ("2024-01-01T00:00:0\u{e9}Z", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(in_utc(text).as_deref(), expected, "{text}");
        }
    }
}
