//! Exports of a log that was pruned.

use super::*;
use crate::pruned::Pruned;

/// The complete export of `from..to`, of which the daemon has pruned `gone`.
fn pruned(log: &Log, from: u64, to: u64, gone: impl Fn(u64) -> bool) -> Vec<u8> {
    let start = peaks(&log.tiles, from).unwrap();
    let header = Header::complete(from, to, start, log.checkpoint().to_string());
    let mut writer = ExportWriter::begin(Vec::new(), &header).unwrap();
    for seq in from..to {
        let entry = &log.entries[place(seq)];
        if gone(seq) {
            writer.pruned(NodeHash::of_leaf(entry)).unwrap();
        } else {
            writer.entry(entry).unwrap();
        }
    }
    let proof = prove_consistency(&log.tiles, to, log.size()).unwrap();
    writer.end(proof).unwrap()
}

/// A log of 40 entries. Entry 30 says that 20 before it were pruned: all that one organization has not.
fn kept() -> (Log, impl Fn(u64) -> bool + Copy) {
    let is_gone = |seq: u64| seq < 30 && organization(seq) != organization(0);
    let kept: Vec<_> = (0..30).step_by(3).collect();
    (
        Log::with(40, 30, &Pruned::new(0..30, &kept).unwrap()),
        is_gone,
    )
}

#[test]
fn an_export_of_a_log_that_was_pruned_holds_by_its_hashes() {
    let (log, is_gone) = kept();
    let report = verify(&pruned(&log, 0, 40, is_gone)).unwrap();
    assert_eq!((report.entries, report.pruned), (20, 20));
    assert_eq!((report.to, report.unexplained), (40, 0));
    let part = verify(&pruned(&log, 7, 33, is_gone)).unwrap();
    assert_eq!((part.pruned, part.unexplained), (16, 0));
    // What says so is behind its end.
    let front = verify(&pruned(&log, 0, 30, is_gone)).unwrap();
    assert_eq!((front.pruned, front.unexplained), (20, 20));
}

#[test]
fn what_is_missing_and_was_not_pruned_and_what_is_there_and_was_are_told_apart() {
    let (log, is_gone) = kept();
    let found = |from, gone: &dyn Fn(u64) -> bool| {
        let report = verify(&pruned(&log, from, 40, gone)).unwrap();
        (report.unexplained, report.put_back)
    };
    assert_eq!(found(0, &is_gone), (0, 0));
    // Behind what was pruned, and one that stayed.
    assert_eq!(found(0, &|seq| is_gone(seq) || seq == 35), (1, 0));
    assert_eq!(found(0, &|seq| is_gone(seq) || seq == 3), (1, 0));
    assert_eq!(found(0, &|seq| is_gone(seq) && seq != 4), (0, 1));
    // As many as there should be, and one in another's place.
    let swapped = |seq| (is_gone(seq) && seq != 4) || seq == 3;
    assert_eq!(found(0, &swapped), (1, 1));
    // All that stayed, of a part that goes to the end.
    assert_eq!(found(10, &|seq| seq < 30), (6, 0));
}

#[test]
fn a_hole_that_was_tampered_with_is_found() {
    let (log, is_gone) = kept();
    let export = pruned(&log, 0, 40, is_gone);
    assert_eq!(unseen_flips(&export[..]), 0);
    let other = forged(&export, |lines| {
        let (before, after) = (
            NodeHash::of_leaf(&log.entries[4]),
            NodeHash::of_leaf(&log.entries[5]),
        );
        lines[5] = lines[5].replace(&before.to_string(), &after.to_string());
    });
    assert!(matches!(verify(&other), Err((42, Fault::OtherTree(_)))));
    let filled = forged(&export, |lines| {
        let entry = std::str::from_utf8(&log.entries[4]).unwrap();
        lines[5] = lines[5].replace("null", &entry.replace("resume:read", "resume:rule"));
    });
    assert_eq!(verify(&filled), Err((6, Fault::OtherHash)));
    let removed = forged(&export, |lines| drop(lines.remove(5)));
    assert!(matches!(
        verify(&removed),
        Err((_, Fault::OtherPlace { .. }))
    ));
    let more = forged(&export, |lines| lines.push(lines[5].clone()));
    assert_eq!(verify(&more), Err((42, Fault::NotInRange { found: 40 })));
    // An organization's entries cannot be missing in part: nothing would tell whose they were.
    let own = forged(&of_organization(&log, 1), |lines| {
        lines[1] = format!(
            "{{\"hash\":\"{}\",\"entry\":null}}\n",
            NodeHash::of_leaf(b"")
        );
    });
    assert_eq!(verify(&own), Err((2, Fault::NotAnEntry)));
}

#[test]
fn an_export_in_which_an_entry_prunes_what_does_not_come_before_it_is_refused() {
    for (places, holds) in [(10..30, true), (10..31, false), (35..38, false)] {
        let log = Log::with(40, 30, &Pruned::new(places.clone(), &[]).unwrap());
        let found = verify(&pruned(&log, 0, 40, |seq| holds && places.contains(&seq)));
        match found {
            Ok(report) => assert!(holds && report.put_back == 0 && report.pruned == 20),
            Err(fault) => assert_eq!((holds, fault), (false, (32, Fault::NotAnEntry))),
        }
    }
}

#[test]
fn an_export_with_holes_is_gone_on_with_to_the_same_bytes() {
    let (log, is_gone) = kept();
    let export = pruned(&log, 3, 37, is_gone);
    let lines: Vec<_> = export.split_inclusive(|byte| *byte == b'\n').collect();
    let mut length = lines[0].len();
    for (done, line) in (0..).zip(&lines[1..]) {
        let rest = pruned(&log, 3 + done, 37, is_gone);
        for cut in [length, length + 1, length + line.len() - 1] {
            assert_eq!(resumed(&export, cut, &rest).unwrap(), export);
        }
        length += line.len();
    }
    // What was pruned only meanwhile is missing from the rest alone.
    let whole = complete(&log, 3, 37);
    let cut = whole.split_inclusive(|byte| *byte == b'\n').take(11);
    let cut = cut.map(<[u8]>::len).sum();
    let made = resumed(&whole, cut, &pruned(&log, 13, 37, is_gone)).unwrap();
    assert_eq!(verify(&made).unwrap().pruned, 12);
}
