//! What the log gives out can be verified, and nobody is given what is not there for them.

use agentidp_shared::merkle::export::{Report, verify_export};

use super::*;
use crate::service::log::ExportRange;

const ALL: ExportRange = ExportRange {
    organization: None,
    from: 0,
    to: None,
};

impl Bench {
    async fn export(&self, caller: &Caller, range: ExportRange) -> Result<Report, Code> {
        let (sender, mut chunks) = tokio::sync::mpsc::channel(1);
        let begun = self.service.export(caller, range, sender);
        begun.map_err(|error| error.code)?;
        let mut file = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            file.extend_from_slice(&chunk.map_err(|error| error.code)?.data);
        }
        Ok(verify_export(file.as_slice(), self.service.log_verifier(), |_| {}).unwrap())
    }

    fn of_demo(&self) -> (OrganizationId, Caller) {
        let caller = self.operator();
        let demo = self.service.find_organization(&caller, "demo").unwrap();
        let reach = Reach::only(demo.record.id);
        (demo.record.id, Caller { reach, ..caller })
    }
}

#[tokio::test]
async fn every_entry_can_be_exported_and_proved() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    for _ in 0..300 {
        bench.token(&issued).await.unwrap();
    }
    let caller = bench.operator();
    let size = *bench.store.head().borrow();
    let report = bench.export(&caller, ALL).await.unwrap();
    assert_eq!((report.from, report.to, report.entries), (0, size, size));
    let part = ExportRange {
        from: 255,
        to: Some(258),
        ..ALL
    };
    assert_eq!(bench.export(&caller, part).await.unwrap().entries, 3);

    let verifier = bench.service.log_verifier();
    for seq in [0, 255, 256, size - 1] {
        let proof = bench.service.prove_entry(&caller, seq).await.unwrap();
        assert_eq!(proof.verify(verifier).unwrap().size, size);
    }
    assert!(bench.service.prove_entry(&caller, size).await.is_err());
    let reopened = bench.service.store().tree();
    assert_eq!(reopened.size(), size);
}

#[tokio::test]
async fn an_organization_is_given_its_own_entries_only() {
    let bench = Bench::new().await;
    let (demo, caller) = bench.of_demo();
    let own = ExportRange {
        organization: Some(demo),
        ..ALL
    };
    let report = bench.export(&caller, own).await.unwrap();
    assert_eq!(report.organization_id, Some(demo));
    assert!(report.entries > 0 && report.entries < report.to);
    let whole = bench.export(&caller, ALL).await;
    assert_eq!(whole.unwrap_err(), Code::PermissionDenied);
    // The first entry is the installation's.
    let foreign = bench.service.prove_entry(&caller, 0).await;
    assert_eq!(foreign.unwrap_err().code, Code::AuthorizationError);
}

#[tokio::test]
async fn a_range_that_is_not_one_is_refused() {
    let bench = Bench::new().await;
    let size = *bench.store.head().borrow();
    for (from, to) in [(0, Some(size + 1)), (size + 1, None), (2, Some(1))] {
        let range = ExportRange { from, to, ..ALL };
        let refused = bench.export(&bench.operator(), range).await;
        assert_eq!(refused.unwrap_err(), Code::InvalidArgument);
    }
    let nothing = ExportRange { from: size, ..ALL };
    let report = bench.export(&bench.operator(), nothing).await.unwrap();
    assert_eq!(report.entries, 0);
}
