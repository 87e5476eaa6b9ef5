//! Exports of a small log: what holds, and all that does not.

use super::*;
use crate::merkle::tests::{Log, log_key, organization, place};
use crate::merkle::{LogKey, NodeHash, peaks, prove_consistency, prove_inclusion};

mod holes;

/// The complete export of `from..to`.
fn complete(log: &Log, from: u64, to: u64) -> Vec<u8> {
    let start = peaks(&log.tiles, from).unwrap();
    let header = Header::complete(from, to, start, log.checkpoint().to_string());
    let mut writer = ExportWriter::begin(Vec::new(), &header).unwrap();
    for seq in from..to {
        writer.entry(&log.entries[place(seq)]).unwrap();
    }
    let proof = match to {
        0 => Vec::new(),
        to => prove_consistency(&log.tiles, to, log.size()).unwrap(),
    };
    writer.end(proof).unwrap()
}

/// The export of one organization's entries.
fn of_organization(log: &Log, number: u64) -> Vec<u8> {
    let checkpoint = log.checkpoint().to_string();
    let header = Header::of_organization(organization(number), 0, log.size(), checkpoint);
    let mut writer = ExportWriter::begin(Vec::new(), &header).unwrap();
    for seq in (0..log.size()).filter(|seq| organization(*seq) == organization(number)) {
        let proof = prove_inclusion(&log.tiles, seq, log.size()).unwrap();
        writer
            .proved_entry(&log.entries[place(seq)], proof)
            .unwrap();
    }
    writer.end(Vec::new()).unwrap()
}

fn verify(export: &[u8]) -> Result<Report, (u64, Fault)> {
    match verify_export(export, log_key().verifier(), |_| {}) {
        Ok(report) => Ok(report),
        Err(VerifyError::Fault { line, fault }) => Err((line, fault)),
        Err(VerifyError::Io(error)) => panic!("{error}"),
    }
}

/// `export` with its lines changed, and closed again as a forger would who can compute a SHA-256.
fn forged(export: &[u8], change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let text = std::str::from_utf8(export).unwrap();
    let mut lines: Vec<_> = text.lines().map(|line| format!("{line}\n")).collect();
    let mut end = line::End::parse(lines.pop().unwrap().trim_end().as_bytes()).unwrap();
    let count = lines.len();
    change(&mut lines);
    end.entries = end.entries + lines.len() as u64 - count as u64;
    let body = lines.concat();
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    digest.update(body.as_bytes());
    end.sha256 = super::verify::hex(digest);
    [body.as_bytes(), &end.to_line()].concat()
}

#[test]
fn a_complete_export_of_any_part_of_the_log_holds() {
    let log = Log::of(300);
    for (from, to) in [
        (0, 0),
        (0, 1),
        (0, 300),
        (1, 300),
        (7, 256),
        (256, 257),
        (300, 300),
    ] {
        let report = verify(&complete(&log, from, to)).unwrap();
        assert_eq!((report.from, report.to), (from, to));
        assert_eq!(report.entries, to - from);
        assert_eq!(report.checkpoint.size, 300);
        assert_eq!(report.organization_id, None);
    }
    assert_eq!(verify(&complete(&Log::of(0), 0, 0)).unwrap().entries, 0);
}

#[test]
fn an_export_of_an_organization_holds() {
    let report = verify(&of_organization(&Log::of(300), 1)).unwrap();
    assert_eq!(report.entries, 100);
    assert_eq!(report.organization_id, Some(organization(1)));
}

#[test]
fn an_export_has_the_documented_form() {
    let log = Log::of(2);
    let text = String::from_utf8(complete(&log, 1, 2)).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let start = NodeHash::of_leaf(&log.entries[0]);
    let checkpoint = log.checkpoint().to_string().replace('\n', "\\n");
    assert_eq!(
        lines[0],
        format!(
            r#"{{"format":"agentidp-audit-export/1","from":1,"to":2,"start":["{start}"],"checkpoint":"{checkpoint}"}}"#
        )
    );
    let hash = NodeHash::of_leaf(&log.entries[1]);
    let entry = std::str::from_utf8(&log.entries[1]).unwrap();
    assert_eq!(lines[1], format!(r#"{{"hash":"{hash}","entry":{entry}}}"#));
    assert!(lines[2].starts_with(r#"{"end":{"entries":1,"proof":[],"sha256":""#));
    let text = String::from_utf8(of_organization(&log, 1)).unwrap();
    assert!(text.contains(r#""organization_id":"01010101-0101-0101-0101-010101010101","from":0"#));
    assert!(text.contains(&format!(r#"{{"proof":["{start}"],"entry":{entry}}}"#)));
}

/// Flips every bit of `export`, and returns how many flips were not found. What is verified before
/// the line of the bit is verified once.
fn unseen_flips(export: &[u8]) -> usize {
    let mut unseen = 0;
    let mut start = 0;
    let mut verifier = ExportVerifier::new(log_key().verifier().clone());
    for line in export.split_inclusive(|byte| *byte == b'\n') {
        let mut rest = export[start..].to_vec();
        for bit in 0..line.len() * 8 {
            rest[bit / 8] ^= 1 << (bit % 8);
            let mut verifier = verifier.clone();
            let result = verifier.push(&rest).and_then(|()| verifier.finish());
            unseen += usize::from(result.is_ok());
            rest[bit / 8] ^= 1 << (bit % 8);
        }
        verifier.push(line).unwrap();
        start += line.len();
    }
    assert!(verifier.is_closed());
    unseen
}

#[test]
fn every_flipped_bit_of_a_64_kib_export_is_found() {
    let export = complete(&Log::of(230), 3, 223);
    assert!((65_536..70_000).contains(&export.len()), "{}", export.len());
    assert_eq!(unseen_flips(&export), 0);
}

#[test]
fn every_flipped_bit_of_an_export_of_an_organization_is_found() {
    assert_eq!(unseen_flips(&of_organization(&Log::of(20), 2)), 0);
    // There may be nothing in it.
    assert_eq!(unseen_flips(&of_organization(&Log::of(1), 2)), 0);
}

#[test]
fn a_forger_who_closes_the_export_again_is_found_at_the_line() {
    let log = Log::of(40);
    let export = complete(&log, 0, 40);
    assert!(verify(&forged(&export, |_| {})).is_ok());
    // The entry is changed, and then its hash too.
    let changed = forged(&export, |lines| {
        lines[5] = lines[5].replace("resume:read", "resume:rule");
    });
    assert_eq!(verify(&changed), Err((6, Fault::OtherHash)));
    let changed = forged(&export, |lines| {
        let hash = NodeHash::of_leaf(&log.entries[4]).to_string();
        let entry = String::from_utf8(log.entries[4].clone()).unwrap();
        let new = entry.replace("resume:read", "resume:rule");
        let new_hash = NodeHash::of_leaf(new.as_bytes()).to_string();
        lines[5] = lines[5].replace(&entry, &new).replace(&hash, &new_hash);
    });
    assert!(matches!(verify(&changed), Err((42, Fault::OtherTree(_)))));
    let removed = forged(&export, |lines| drop(lines.remove(5)));
    let fault = Fault::OtherPlace {
        found: 5,
        expected: 4,
    };
    assert_eq!(verify(&removed), Err((6, fault)));
    let swapped = forged(&export, |lines| lines.swap(5, 6));
    let fault = Fault::OtherPlace {
        found: 5,
        expected: 4,
    };
    assert_eq!(verify(&swapped), Err((6, fault)));
    let repeated = forged(&export, |lines| lines.push(lines[40].clone()));
    let fault = Fault::OtherPlace {
        found: 39,
        expected: 40,
    };
    assert_eq!(verify(&repeated), Err((42, fault)));
    let shortened = forged(&export, |lines| lines.truncate(40));
    assert_eq!(verify(&shortened), Err((41, Fault::Short { expected: 39 })));
    let spaced = forged(&export, |lines| lines[5].insert(1, ' '));
    assert_eq!(verify(&spaced), Err((6, Fault::NotAnEntry)));
    let spaced = forged(&export, |lines| lines[0].insert(1, ' '));
    assert_eq!(verify(&spaced), Err((1, Fault::NotAHeader)));
    let extended = forged(&export, |lines| {
        lines[0] = lines[0].replacen('{', r#"{"x":1,"#, 1);
    });
    assert_eq!(verify(&extended), Err((1, Fault::NotAHeader)));
    let signed = forged(&export, |lines| {
        lines[0] = lines[0].replace("log.example/audit\\n40", "log.example/audit\\n39");
    });
    assert!(matches!(verify(&signed), Err((1, Fault::Checkpoint(_)))));
    let beyond = forged(&export, |lines| {
        lines[0] = lines[0].replace(r#""to":40"#, r#""to":41"#);
    });
    assert_eq!(verify(&beyond), Err((1, Fault::Contradiction)));
}

#[test]
fn a_forger_of_an_organization_s_export_is_found_at_the_line() {
    let log = Log::of(40);
    let export = of_organization(&log, 0);
    let changed = forged(&export, |lines| {
        lines[2] = lines[2].replace("resume:read", "resume:rule");
    });
    assert!(matches!(
        verify(&changed),
        Err((3, Fault::NotInTheLog { found: 3, .. }))
    ));
    let swapped = forged(&export, |lines| lines.swap(1, 2));
    assert_eq!(verify(&swapped), Err((3, Fault::NotInRange { found: 0 })));
    let repeated = forged(&export, |lines| lines.insert(2, lines[1].clone()));
    assert_eq!(verify(&repeated), Err((3, Fault::NotInRange { found: 0 })));
    let other = forged(&export, |lines| {
        let (before, after) = (organization(0).to_string(), organization(1).to_string());
        lines[0] = lines[0].replace(&before, &after);
    });
    assert_eq!(
        verify(&other),
        Err((2, Fault::OtherOrganization { found: 0 }))
    );
    let mixed = forged(&export, |lines| {
        let complete = String::from_utf8(complete(&log, 0, 40)).unwrap();
        lines[1] = format!("{}\n", complete.lines().nth(1).unwrap());
    });
    assert_eq!(verify(&mixed), Err((2, Fault::NotAnEntry)));
}

#[test]
fn an_export_that_is_not_whole_says_so() {
    let export = complete(&Log::of(10), 0, 10);
    let lines: Vec<_> = export.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(verify(b""), Err((1, Fault::NoEnd)));
    assert_eq!(verify(&export[..40]), Err((1, Fault::CutOff)));
    assert_eq!(verify(&lines[..4].concat()), Err((5, Fault::NoEnd)));
    assert_eq!(
        verify(&export[..export.len() - 1]),
        Err((12, Fault::CutOff))
    );
    let more = [export.as_slice(), b"\n"].concat();
    assert_eq!(verify(&more), Err((13, Fault::AfterEnd)));
    assert_eq!(verify(&vec![b'x'; 300_000]), Err((1, Fault::TooLong)));
    let other = LogKey::from_seed("log.example/audit".to_owned(), &[6; 32]).unwrap();
    let result = verify_export(export.as_slice(), other.verifier(), |_| {});
    assert!(result.is_err_and(|error| {
        error.to_string() == "line 1: the checkpoint: it has no signature of this key"
    }));
}

#[test]
fn an_export_that_comes_in_parts_of_any_size_is_verified_alike() {
    let log = Log::of(40);
    for export in [complete(&log, 3, 37), of_organization(&log, 1)] {
        for size in [1, 7, 300, 4_000] {
            let mut verifier = ExportVerifier::new(log_key().verifier().clone());
            for part in export.chunks(size) {
                verifier.push(part).unwrap();
            }
            assert_eq!(verifier.whole(), export.len() as u64);
            assert_eq!(verifier.finish().unwrap(), verify(&export).unwrap());
        }
    }
}

/// `export`, as it is made of its first `length` bytes and `rest`.
fn resumed(export: &[u8], length: usize, rest: &[u8]) -> Result<Vec<u8>, VerifyError> {
    let mut verifier = ExportVerifier::new(log_key().verifier().clone());
    verifier.push(&export[..length]).unwrap();
    let mut made = export[..usize::try_from(verifier.whole()).unwrap()].to_vec();
    let mut resumed = ResumedExport::new(verifier);
    for part in rest.chunks(100) {
        made.extend(resumed.push(part)?);
    }
    resumed.finish()?;
    Ok(made)
}

#[test]
fn an_export_that_was_cut_off_anywhere_is_gone_on_with_to_the_same_bytes() {
    let log = Log::of(40);
    let export = complete(&log, 3, 37);
    let lines: Vec<_> = export.split_inclusive(|byte| *byte == b'\n').collect();
    let mut length = lines[0].len();
    for (done, line) in (0..).zip(&lines[1..]) {
        let rest = complete(&log, 3 + done, 37);
        for cut in [length, length + 1, length + line.len() - 1] {
            assert_eq!(resumed(&export, cut, &rest).unwrap(), export);
        }
        length += line.len();
    }
    // Whatever of the tenants in between.
    let export = of_organization(&log, 1);
    let cut = export.len() - 300;
    let whole = export[..cut].split(|byte| *byte == b'\n').count() as u64 - 2;
    let header = Header::of_organization(
        organization(1),
        1 + 3 * (whole - 1) + 1,
        40,
        log.checkpoint().to_string(),
    );
    let mut writer = ExportWriter::begin(Vec::new(), &header).unwrap();
    for seq in (1 + 3 * whole..40).step_by(3) {
        let proof = prove_inclusion(&log.tiles, seq, 40).unwrap();
        writer
            .proved_entry(&log.entries[place(seq)], proof)
            .unwrap();
    }
    let rest = writer.end(Vec::new()).unwrap();
    assert_eq!(resumed(&export, cut, &rest).unwrap(), export);
}

#[test]
fn what_does_not_follow_is_not_taken_for_the_rest() {
    let log = Log::of(40);
    let export = complete(&log, 0, 40);
    let cut = export.len() / 2;
    let whole = export[..cut].split(|byte| *byte == b'\n').count() as u64 - 2;
    assert!(resumed(&export, cut, &complete(&log, whole, 40)).is_ok());
    for rest in [
        complete(&log, whole - 1, 40),
        complete(&log, whole + 1, 40),
        complete(&log, whole, 39),
        complete(&Log::of(41), whole, 40),
        of_organization(&log, 0),
        Vec::new(),
    ] {
        assert!(resumed(&export, cut, &rest).is_err());
    }
    let rest = forged(&complete(&log, whole, 40), |lines| drop(lines.remove(2)));
    assert!(resumed(&export, cut, &rest).is_err());
}
