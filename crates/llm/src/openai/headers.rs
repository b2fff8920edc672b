//! What headers say about when to ask again and how much is left.

use crate::Allowance;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When the server wants to be asked again: `retry-after-ms`, or `Retry-After` in seconds or as a date.
/// A date is compared with the server's own, so that clocks need not agree.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    let seconds = |text: &str| text.parse::<f64>().ok().and_then(|n| Duration::try_from_secs_f64(n).ok());
    if let Some(after) = headers.get("retry-after-ms").and_then(text) {
        if let Some(millis) = seconds(&after) {
            return Some(millis / 1_000);
        }
    }
    let after = headers.get(RETRY_AFTER).and_then(text)?;
    if let Some(after) = seconds(&after) {
        return Some(after);
    }
    let at = http_date(&after)?;
    let here = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = headers.get(DATE).and_then(text).and_then(|date| http_date(&date)).unwrap_or_else(here);
    Some(Duration::from_secs(at.saturating_sub(now)))
}

pub(super) fn allowance(headers: &HeaderMap) -> Allowance {
    // Some servers send -1 for unknown, which is no `u64`.
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    Allowance::new(number("x-ratelimit-remaining-requests"), number("x-ratelimit-remaining-tokens"))
}

/// Seconds since 1970 of a date as in `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may send.
fn http_date(text: &str) -> Option<u64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = words.next()?;
    let month = months.iter().position(|&month| month == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if words.next()? != "GMT"
        || !(1970..10_000).contains(&year)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
    {
        return None;
    }
    // Days from the first of March of the year 0, in which leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    const EPOCH: u64 = 719_468;
    Some((days - EPOCH) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn dates_are_read() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        for wrong in [
            "",
            "tomorrow",
            "Sun, 06 Nov 1994",
            "Sun, 6 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
        ] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn all_forms_of_retry_after_are_understood() {
        let after = |pairs: &[(&'static str, &'static str)]| retry_after(&map(pairs));
        assert_eq!(after(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(after(&[("retry-after", " 0.5 ")]), Some(Duration::from_millis(500)));
        assert_eq!(
            after(&[("retry-after", "9"), ("retry-after-ms", "250")]),
            Some(Duration::from_millis(250))
        );
        let date =
            [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")];
        assert_eq!(after(&date), Some(Duration::from_secs(23)));
        assert_eq!(after(&[("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")]), Some(Duration::ZERO));
        for wrong in ["-1", "soon", "NaN", "1e300"] {
            assert_eq!(after(&[("retry-after", wrong)]), None, "{wrong}");
        }
        assert_eq!(after(&[]), None);
    }

    #[test]
    fn what_is_left_is_read_where_it_is_a_number() {
        let headers =
            map(&[("x-ratelimit-remaining-requests", "12"), ("x-ratelimit-remaining-tokens", "-1")]);
        assert_eq!(allowance(&headers), Allowance::new(Some(12), None));
    }
}
