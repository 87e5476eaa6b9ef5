//! Moments as people write them: how long ago, a time of day, a date, or both.

use agentidp_shared::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use crate::duration;

const RULE: &str = "must be how long ago, such as 2h, or a time in UTC, such as 02:40, 2026-11-21, \
                    2026-11-21T02:40 or 2026-11-21T03:40+01:00";

/// Reads a moment. A time of day is the last one that was; what names no offset is UTC.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    parse_in(text, now, &TimeZone::UTC)
}

/// The same, where what names no offset is of `zone`.
pub(crate) fn parse_in(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(ago) = duration::parse(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(Timestamp::from_millis(now.as_millis().saturating_sub(ago)));
    }
    // An offset stands behind a time: the dashes of a date are before it.
    let after_date = text.get(10..).unwrap_or_default();
    if text.contains('T') && after_date.contains(['Z', 'z', '+', '-']) {
        let moment: jiff::Timestamp = text.parse().map_err(|_error| RULE.to_owned())?;
        return Ok(Timestamp::from_millis(moment.as_millisecond()));
    }
    if text.contains(':') && !text.contains(['T', '-', ' ']) {
        let time: Time = text.parse().map_err(|_error| RULE.to_owned())?;
        let today = jiff::Timestamp::from_millisecond(now.as_millis())
            .map_err(|_error| RULE.to_owned())?
            .to_zoned(zone.clone())
            .date();
        let then = moment(today.to_datetime(time), zone)?;
        if then <= now {
            return Ok(then);
        }
        let yesterday = today.yesterday().map_err(|_error| RULE.to_owned())?;
        return moment(yesterday.to_datetime(time), zone);
    }
    let time = text.parse().map_err(|_error| RULE.to_owned())?;
    moment(time, zone)
}

fn moment(time: DateTime, zone: &TimeZone) -> Result<Timestamp, String> {
    let zoned = time
        .to_zoned(zone.clone())
        .map_err(|_error| RULE.to_owned())?;
    Ok(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_may_be_of_another_zone() {
        let now = "2026-11-22T00:10:00.000Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(5));
        for (text, moment) in [
            ("05:05", "2026-11-22T00:05:00.000Z"),
            ("2026-11-22", "2026-11-21T19:00:00.000Z"),
            ("2026-11-22T00:05Z", "2026-11-22T00:05:00.000Z"),
        ] {
            let parsed = parse_in(text, now, &zone).unwrap();
            assert_eq!(parsed.to_string(), moment, "{text}");
        }
    }

    #[test]
    fn a_moment_is_how_long_ago_or_a_time_in_utc() {
        let now = "2026-11-21T02:41:00.000Z";
        for (text, moment) in [
            ("2h", "2026-11-21T00:41:00.000Z"),
            ("1d2h", "2026-11-20T00:41:00.000Z"),
            ("02:40", "2026-11-21T02:40:00.000Z"),
            // It has not been today.
            ("23:05:10", "2026-11-20T23:05:10.000Z"),
            ("2026-11-20", "2026-11-20T00:00:00.000Z"),
            ("2026-11-20T02:40", "2026-11-20T02:40:00.000Z"),
            ("2026-11-20 02:40:03", "2026-11-20T02:40:03.000Z"),
            ("2026-11-20T02:40:00.120Z", "2026-11-20T02:40:00.120Z"),
            ("2026-11-20T02:40:00+01:00", "2026-11-20T01:40:00.000Z"),
            ("2026-11-20T02:40-01:00", "2026-11-20T03:40:00.000Z"),
        ] {
            let parsed = parse(text, now.parse().unwrap());
            assert_eq!(
                parsed.map(|it| it.to_string()),
                Ok(moment.to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "25:00",
            "2026-11-20T",
            "2",
            "-1h",
        ] {
            assert!(parse(text, now.parse().unwrap()).is_err(), "{text}");
        }
    }
}
