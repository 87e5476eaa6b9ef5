//! Numbers as people read them: one form for the command line, the screens and the daemon's messages.

/// `number` with commas between thousands.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// How many there are of what is called `one` when it is one: `1 entry`, `1,204 entries`.
#[must_use]
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {}", thousands(number), noun(number, one))
}

/// What `number` of what is called `one` are called.
fn noun(number: u64, one: &str) -> String {
    const VOWELS: [char; 5] = ['a', 'e', 'i', 'o', 'u'];
    match one.strip_suffix('y') {
        _ if number == 1 => one.to_owned(),
        Some(stem) if !stem.ends_with(VOWELS) => format!("{stem}ies"),
        _ => format!("{one}s"),
    }
}

/// What stands for `number` of something after a verb.
#[must_use]
pub const fn it_or_them(number: u64) -> &'static str {
    if number == 1 { "it" } else { "them" }
}

/// A size in mebibytes: below ten of them to a tenth, which is `0.1` for whatever is less and not nothing.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    const TENTH: u64 = (1 << 20) / 10;
    match bytes {
        0 => "0 MiB".to_owned(),
        1..10_485_760 => {
            let tenths = (bytes / TENTH).clamp(1, 99);
            format!("{}.{} MiB", tenths / 10, tenths % 10)
        }
        _ => format!("{} MiB", thousands(bytes >> 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(thousands(number), shown);
        }
    }

    #[test]
    fn one_is_not_called_as_many_are() {
        for (number, one, shown) in [
            (0, "agent", "0 agents"),
            (1, "agent", "1 agent"),
            (1_204, "audit entry", "1,204 audit entries"),
            (1, "entry", "1 entry"),
            (2, "key", "2 keys"),
        ] {
            assert_eq!(counted(number, one), shown);
        }
    }

    #[test]
    fn sizes_are_in_one_unit() {
        for (bytes, shown) in [
            (0, "0 MiB"),
            (1, "0.1 MiB"),
            (1 << 20, "1.0 MiB"),
            (9_411_072, "8.9 MiB"),
            (10_485_759, "9.9 MiB"),
            (10_485_760, "10 MiB"),
            (1_500 << 20, "1,500 MiB"),
        ] {
            assert_eq!(mebibytes(bytes), shown);
        }
    }
}
