//! What becomes of a token after it was issued.

use agentidp_shared::{AgentStatus, OrganizationUpdate, TokenId};

use super::*;
use crate::service::bearer::Presents;
use crate::service::review::Concern;
use crate::service::revocation::IssuedTo;
use crate::service::revocation::TokenRef;
use crate::store::RecordKey;

const READER: &str = "reader@demo.example";

impl Bench {
    /// An agent of `organization` with these capabilities, and a secret.
    pub(super) async fn agent_with(
        &self,
        organization: &str,
        email: &str,
        capabilities: &str,
    ) -> Issued {
        let registration = registration(email, capabilities);
        let registered = self
            .service
            .register_agent(&self.operator(), organization, registration)
            .await
            .unwrap();
        let id = registered.record.id.to_string();
        self.service
            .issue_credential(&self.operator(), &id, Proof::ClientSecret, None)
            .await
            .unwrap()
    }

    fn presents(&self, issued: &Issued) -> Presents {
        Presents::Client(self.request(issued).client)
    }

    pub(super) fn origin(&self) -> Origin {
        Origin {
            address: [127, 0, 0, 1].into(),
            request_id: self.service.new_request_id(),
        }
    }

    async fn text(&self, issued: &Issued) -> String {
        let token = self.token(issued).await.unwrap();
        token.access_token.to_string()
    }

    async fn is_active(&self, reader: &Issued, token: &str) -> bool {
        let found = self
            .service
            .introspect(&self.presents(reader), token, self.origin())
            .await;
        found.unwrap().value.is_some()
    }

    async fn reader(&self) -> Issued {
        self.agent_with("demo", READER, "tokens:read").await
    }
}

/// What an agent of these is registered with.
pub(super) fn registration(email: &str, capabilities: &str) -> agent::Registration {
    agent::Registration {
        email: email.parse().unwrap(),
        agent_type: agentidp_shared::AgentType::Custom,
        version: semver::Version::new(1, 0, 0),
        capabilities: capabilities.parse().unwrap(),
        owner: "team".parse().unwrap(),
        deployment_env: agentidp_shared::DeploymentEnv::Staging,
        audiences: Vec::new(),
        metadata: agentidp_shared::Metadata::default(),
    }
}

fn reason() -> agentidp_shared::Reason {
    "for the test".parse().unwrap()
}

#[tokio::test]
async fn a_token_counts_until_it_expires() {
    let bench = Bench::new().await;
    let (reader, issued) = (bench.reader().await, bench.credential().await);
    let token = bench.text(&issued).await;
    assert!(bench.is_active(&reader, &token).await);
    bench.pass(Duration::from_mins(15));
    assert!(!bench.is_active(&reader, &token).await);
}

#[tokio::test]
async fn tokens_from_before_a_suspension_stay_dead_when_the_agent_is_resumed() {
    let bench = Bench::new().await;
    let (reader, issued) = (bench.reader().await, bench.credential().await);
    let old = bench.text(&issued).await;
    bench.transition(Transition::Suspend).await.unwrap();
    assert!(!bench.is_active(&reader, &old).await);
    bench.transition(Transition::Resume).await.unwrap();
    assert!(!bench.is_active(&reader, &old).await);
    // At the same moment by the clock: what is new counts.
    let new = bench.text(&issued).await;
    assert!(bench.is_active(&reader, &new).await);
}

#[tokio::test]
async fn whatever_a_token_hangs_on_takes_it_along_when_it_is_revoked() {
    let bench = Bench::new().await;
    let reader = bench.reader().await;
    let operator = bench.operator();
    let service = &bench.service;

    let issued = bench.credential().await;
    let (one, other) = (bench.text(&issued).await, bench.text(&issued).await);
    service
        .revoke_token(&operator, TokenRef::Token(one.clone()), Some(reason()))
        .await
        .unwrap();
    assert!(!bench.is_active(&reader, &one).await);
    assert!(bench.is_active(&reader, &other).await);

    let second = bench.credential().await;
    let by_second = bench.text(&second).await;
    let id = issued.credential.id;
    service
        .revoke_credential(&operator, id, Some(reason()), 0)
        .await
        .unwrap();
    assert!(!bench.is_active(&reader, &other).await);
    assert!(bench.is_active(&reader, &by_second).await);

    for issued_to in [
        IssuedTo::Credential(second.credential.id),
        IssuedTo::Agent(AGENT.to_owned()),
    ] {
        let token = bench.text(&second).await;
        assert!(bench.is_active(&reader, &token).await);
        bench.pass(Duration::from_millis(1));
        service
            .revoke_issued(&operator, issued_to.clone(), Some(reason()))
            .await
            .unwrap();
        assert!(!bench.is_active(&reader, &token).await, "{issued_to:?}");
        let token = bench.text(&second).await;
        assert!(bench.is_active(&reader, &token).await, "{issued_to:?}");
    }
}

#[tokio::test]
async fn a_suspended_organization_takes_every_token_along_for_good() {
    let bench = Bench::new().await;
    let (issued, operator) = (bench.credential().await, bench.operator());
    let token = bench.text(&issued).await;
    let counts = |bench: &Bench| {
        let seen = bench.service.inspect_token(&operator, &token).unwrap();
        seen.state
    };
    assert_eq!(counts(&bench), Ok(()));
    bench
        .service
        .suspend_organization(&operator, "demo", Some(reason()), 0)
        .await
        .unwrap();
    assert_eq!(counts(&bench), Err(Code::OrganizationSuspended));
    assert_eq!(
        bench.token(&issued).await.err(),
        Some(Code::OrganizationSuspended)
    );
    bench
        .service
        .resume_organization(&operator, "demo", None, 0)
        .await
        .unwrap();
    assert_eq!(counts(&bench), Err(Code::TokenRevoked));
    assert!(bench.token(&issued).await.is_ok());
}

#[tokio::test]
async fn a_token_can_be_revoked_by_its_id_and_twice_is_once() {
    let bench = Bench::new().await;
    let (reader, issued) = (bench.reader().await, bench.credential().await);
    let token = bench.text(&issued).await;
    let operator = bench.operator();
    let seen = bench.service.inspect_token(&operator, &token).unwrap();
    let jti = seen.token.unwrap().jti;
    let revoke = async || {
        bench
            .service
            .revoke_token(&operator, TokenRef::Jti(jti), Some(reason()))
            .await
    };
    let first = revoke().await.unwrap();
    assert_eq!(revoke().await.unwrap(), first);
    assert!(!bench.is_active(&reader, &token).await);
    let seen = bench.service.inspect_token(&operator, &token).unwrap();
    assert_eq!(seen.state, Err(Code::TokenRevoked));
    let unknown = TokenId::new(bench.clock.now(), [9; 10]);
    let refused = bench
        .service
        .revoke_token(&operator, TokenRef::Jti(unknown), Some(reason()))
        .await;
    assert_eq!(refused.err().map(|it| it.code), Some(Code::InvalidToken));
}

#[tokio::test]
async fn nobody_learns_of_another_organizations_tokens_or_ends_them() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    bench
        .service
        .create_organization(&operator, "other".parse().unwrap(), None)
        .await
        .unwrap();
    let stranger = bench
        .agent_with("other", "x@other.example", "tokens:read tokens:write")
        .await;
    let (reader, issued) = (bench.reader().await, bench.credential().await);
    let token = bench.text(&issued).await;
    assert!(!bench.is_active(&stranger, &token).await);
    let revoked = bench
        .service
        .revoke_for_client(&bench.presents(&stranger), &token, bench.origin())
        .await;
    assert!(revoked.is_ok(), "as if it were none");
    assert!(bench.is_active(&reader, &token).await);
}

#[tokio::test]
async fn an_agent_revokes_its_own_tokens_and_others_only_with_the_scope() {
    let bench = Bench::new().await;
    let (reader, issued) = (bench.reader().await, bench.credential().await);
    let writer = bench
        .agent_with("demo", "writer@demo.example", "tokens:write")
        .await;
    let revoke = async |by: &Issued, token: &str| {
        let presents = bench.presents(by);
        let revoked = bench
            .service
            .revoke_for_client(&presents, token, bench.origin())
            .await;
        revoked.map(|it| it.value).map_err(|error| error.code)
    };
    let (own, other) = (bench.text(&issued).await, bench.text(&issued).await);
    assert_eq!(
        revoke(&reader, &own).await,
        Err(Code::InsufficientScope),
        "another agent's"
    );
    assert_eq!(revoke(&issued, &own).await, Ok(()));
    assert_eq!(revoke(&writer, &other).await, Ok(()));
    for token in [&own, &other] {
        assert!(!bench.is_active(&reader, token).await);
    }
}

#[tokio::test]
async fn introspection_takes_the_scope() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let token = bench.text(&issued).await;
    let refused = bench
        .service
        .introspect(&bench.presents(&issued), &token, bench.origin())
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, Code::InsufficientScope);
    let lacks = "the agent lacks the capability tokens:read";
    assert!(refused.message.starts_with(lacks), "{refused}");

    let bearer = Presents::Bearer(token.clone().into());
    let refused = bench
        .service
        .introspect(&bearer, &token, bench.origin())
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, Code::InsufficientScope);
    let lacks = "the token lacks the scope tokens:read";
    assert!(refused.message.starts_with(lacks), "{refused}");
}

#[tokio::test]
async fn reading_is_noted_once_a_minute_and_counted() {
    let bench = Bench::new().await;
    let (reader, issued) = (bench.reader().await, bench.credential().await);
    let token = bench.text(&issued).await;
    for _ in 0..5 {
        assert!(bench.is_active(&reader, &token).await);
    }
    bench.service.flush_denials(true);
    let noted = bench.log();
    let noted = noted
        .iter()
        .filter(|(action, _, _)| *action == Action::TokenIntrospect);
    assert_eq!(noted.count(), 2);
}

#[tokio::test]
async fn who_only_introspects_uses_the_credential_that_proves_it() {
    let bench = Bench::new().await;
    let (old, issued) = (bench.reader().await, bench.credential().await);
    let token = bench.text(&issued).await;
    // Another one of the same agent, in the same minute, and each not the last to be used.
    let caller = bench.operator();
    let new = bench
        .service
        .issue_credential(&caller, READER, Proof::ClientSecret, None)
        .await
        .unwrap();
    for reader in [&new, &new, &old, &new] {
        assert!(bench.is_active(reader, &token).await);
    }
    bench.service.flush_denials(true);
    let uses = |it: &Issued| {
        let key = RecordKey::Credential(it.credential.id);
        bench.store.usage(&key).unwrap().count
    };
    assert_eq!((uses(&old), uses(&new)), (1, 3));
    let review = bench
        .service
        .review_credentials(&caller, Concern::NeverUsed, None, 100);
    let review = review.await.unwrap();
    let mut emails = review.credentials.iter().map(|it| it.email.as_str());
    assert!(!emails.any(|it| it == READER));
}

#[tokio::test]
async fn a_tier_ends_at_its_number_of_agents_and_tokens() {
    let mut bench = Bench::new().await;
    let limits = TierLimits {
        agents: Some(4),
        tokens_per_month: Some(2),
    };
    let tier: agentidp_shared::Tier = "tiny".parse().unwrap();
    let tiers = &mut bench.settings().tiers;
    tiers.limits.insert(tier.clone(), limits);
    let update = OrganizationUpdate {
        tier: Some(tier),
        ..OrganizationUpdate::default()
    };
    bench
        .service
        .update_organization(&bench.operator(), "demo", update, 0)
        .await
        .unwrap();
    let issued = bench.agent_with("demo", "d@demo.example", "a:b").await;
    let fifth = registration("e@demo.example", "a:b");
    let register = async || {
        let registered = bench
            .service
            .register_agent(&bench.operator(), "demo", fifth.clone())
            .await;
        registered.map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(register().await, Err(Code::QuotaExceeded));
    let usage = async || {
        let demo = bench.service.find_organization(&bench.operator(), "demo");
        let usage = bench.service.tier_usage(&demo.unwrap().record).await;
        let usage = usage.unwrap();
        assert_eq!(usage.limits, limits);
        (usage.agents, usage.tokens_this_month)
    };
    assert_eq!(usage().await, (4, 0));
    // One that has ended makes room.
    bench.transition(Transition::Revoke).await.unwrap();
    assert_eq!(usage().await, (3, 0));
    assert_eq!(register().await, Ok(()));

    assert!(bench.token(&issued).await.is_ok() && bench.token(&issued).await.is_ok());
    assert_eq!(bench.token(&issued).await.err(), Some(Code::QuotaExceeded));
    assert_eq!(usage().await, (4, 2));
    bench.pass(Duration::from_hours(24 * 31));
    assert!(bench.token(&issued).await.is_ok());
    assert_eq!(usage().await, (4, 1));
}

#[tokio::test]
async fn a_credential_that_is_too_old_is_retired_and_the_log_says_why() {
    let bench = Bench::new().await;
    let old = bench.credential().await;
    let update = OrganizationUpdate {
        max_credential_age: Some(Some(Duration::from_hours(48))),
        ..OrganizationUpdate::default()
    };
    bench
        .service
        .update_organization(&bench.operator(), "demo", update, 0)
        .await
        .unwrap();
    bench.pass(Duration::from_hours(47));
    let young = bench.credential().await;
    assert_eq!(bench.service.retire_old_credentials().await, Ok(0));
    bench.pass(Duration::from_hours(1));
    assert_eq!(bench.service.retire_old_credentials().await, Ok(1));
    assert_eq!(bench.service.retire_old_credentials().await, Ok(0));
    assert!(bench.token(&old).await.is_ok(), "its grace");
    bench.pass(Duration::from_hours(24));
    assert_eq!(bench.token(&old).await.err(), Some(Code::CredentialExpired));
    assert!(bench.token(&young).await.is_ok());
    let page = bench
        .store
        .entries_before(
            None,
            &EntryFilter {
                action: Some(Action::CredentialRetire),
                ..EntryFilter::default()
            },
            1,
        )
        .unwrap();
    let entry: Entry = serde_json::from_slice(&page.entries[0].json).unwrap();
    assert!(entry.reason.unwrap().as_str().contains("older than"));
}

#[tokio::test]
async fn a_request_that_is_repeated_is_done_once() {
    let bench = Bench::new().await;
    let caller = |request: &[u8]| Caller {
        idempotency: Some(IdempotencyKey::new("alice", "key-1", &[request])),
        ..bench.operator()
    };
    let issue = async |caller: &Caller| {
        bench
            .service
            .issue_credential(caller, AGENT, Proof::ClientSecret, None)
            .await
    };
    let first = issue(&caller(b"a")).await.unwrap();
    let again = issue(&caller(b"a")).await.unwrap();
    assert_eq!(again.credential.id, first.credential.id);
    let secret = |issued: &Issued| issued.secret.as_ref().unwrap().expose().to_owned();
    assert_eq!(secret(&again), secret(&first));
    let other = issue(&caller(b"b")).await;
    assert_eq!(
        other.err().map(|it| it.code),
        Some(Code::IdempotencyConflict)
    );
    // The secret is shown again for a minute only, and nothing new is made.
    bench.pass(Duration::from_mins(1));
    let late = issue(&caller(b"a")).await;
    assert_eq!(
        late.err().map(|it| it.code),
        Some(Code::IdempotencyConflict)
    );
    bench.pass(Duration::from_hours(24));
    let new = issue(&caller(b"a")).await.unwrap();
    assert_ne!(new.credential.id, first.credential.id);
}

#[tokio::test]
async fn agents_that_are_registered_together_are_registered_once_under_a_name() {
    let bench = Bench::new().await;
    let register = async |named: &str| {
        let caller = Caller {
            idempotency: Some(IdempotencyKey::new("alice", named, &[])),
            ..bench.operator()
        };
        let agents = ["one", "two"].map(|name| {
            let email = format!("{name}@demo.example");
            registration(&email, "data:read")
        });
        let registered = bench
            .service
            .register_agents(&caller, "demo", agents.into())
            .await;
        let registered = registered.map_err(|error| error.code)?;
        Ok(registered
            .into_iter()
            .map(|it| (it.record.id, it.audit_seq))
            .collect::<Vec<_>>())
    };
    let first = register("key-1").await;
    assert_eq!(first.as_ref().map(Vec::len), Ok(2));
    assert_eq!(register("key-1").await, first);
    assert_eq!(register("key-2").await, Err(Code::AlreadyExists));
}

#[tokio::test]
async fn a_revision_that_no_record_can_have_is_a_conflict_like_any_other() {
    let bench = Bench::new().await;
    bench.transition(Transition::Suspend).await.unwrap();
    let operator = bench.operator();
    for seen in [u64::MAX, u64::MAX - 1] {
        let suspended = bench.service.transition_agent(
            &operator,
            AGENT,
            Transition::Suspend,
            Some(reason()),
            seen,
        );
        let error = suspended.await.unwrap_err();
        assert_eq!(error.code, Code::RevisionConflict);
    }
}

#[tokio::test]
async fn a_credential_about_to_expire_is_said_once_for_each_threshold() {
    let bench = Bench::new().await;
    let life = Some(Duration::from_hours(72));
    bench
        .service
        .issue_credential(&bench.operator(), AGENT, Proof::ClientSecret, life)
        .await
        .unwrap();
    for (hours, warnings) in [(0, 0), (23, 0), (1, 1), (1, 0), (23, 1), (23, 0), (24, 0)] {
        bench.pass(Duration::from_hours(hours));
        assert_eq!(
            bench.service.warn_of_expiry().await,
            Ok(warnings),
            "{hours}"
        );
    }
    let said = bench.log();
    let said = said
        .iter()
        .filter(|(action, _, _)| *action == Action::CredentialExpiring);
    assert_eq!(said.count(), 2);
}

#[tokio::test]
async fn a_transition_that_is_repeated_under_its_key_is_not_done_again() {
    let bench = Bench::new().await;
    let caller = |chosen: &str| Caller {
        idempotency: Some(IdempotencyKey::new("alice", chosen, &[b"request"])),
        ..bench.operator()
    };
    let go = async |chosen: &str, transition| {
        bench
            .service
            .transition_agent(&caller(chosen), AGENT, transition, Some(reason()), 0)
            .await
            .unwrap()
            .record
            .status
    };
    assert_eq!(
        go("suspend", Transition::Suspend).await,
        AgentStatus::Suspended
    );
    assert_eq!(go("resume", Transition::Resume).await, AgentStatus::Active);
    bench.transition(Transition::Suspend).await.unwrap();
    // The answer is the agent as it is; a late repetition must not resume it.
    assert_eq!(
        go("resume", Transition::Resume).await,
        AgentStatus::Suspended
    );
}

#[tokio::test]
async fn a_token_that_was_revoked_stays_dead_though_the_clock_was_ahead_for_a_while() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let token = bench.text(&issued).await;
    let operator = bench.operator();
    bench
        .service
        .revoke_token(&operator, TokenRef::Token(token.clone()), Some(reason()))
        .await
        .unwrap();
    let key = {
        let seen = bench.service.inspect_token(&operator, &token).unwrap();
        crate::store::TemporaryKey::RevokedToken(seen.token.unwrap().jti)
    };
    // Kept by the time of the newest entry, so for longer than a clock is likely to be ahead.
    let ahead = bench.clock.now().plus(Duration::from_hours(12));
    assert!(bench.store.temporary(&key, ahead).unwrap().is_some());
}

#[tokio::test]
async fn a_token_is_dated_after_what_ended_others_though_the_clock_has_gone_back() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    bench.token(&issued).await.unwrap();
    bench.pass(Duration::from_hours(1));
    bench
        .service
        .revoke_issued(
            &bench.operator(),
            IssuedTo::Agent(AGENT.to_owned()),
            Some(reason()),
        )
        .await
        .unwrap();
    // The clock goes back.
    {
        let mut now = bench.clock.0.lock();
        *now = Timestamp::from_millis(now.as_millis() - 3_600_000);
    }
    let token = bench.text(&issued).await;
    let seen = bench
        .service
        .inspect_token(&bench.operator(), &token)
        .unwrap();
    assert_eq!(seen.state, Ok(()));
    let seen = seen.token.unwrap();
    assert_eq!(seen.iat, bench.clock.now().as_secs() + 3_600);
    assert_eq!(seen.exp, seen.iat + 900);
}

#[tokio::test]
async fn an_agents_activity_counts_who_gives_its_id_and_does_not_prove_to_be_it() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    bench.token(&issued).await.unwrap();
    let guessed = agentidp_shared::ClientSecret::new(issued.credential.id, &[1; 32]);
    let guess = Issued {
        secret: Some(guessed),
        ..bench.credential().await
    };
    assert_eq!(bench.token(&guess).await.err(), Some(Code::WrongSecret));
    let operator = bench.operator();
    let activity = bench.service.agent_activity(&operator, AGENT).unwrap();
    assert_eq!(activity.issued.last(), Some(&1));
    assert_eq!(activity.denied.last(), Some(&1));
}
