//! The agents that a store is filled with: all different, and the same in every run.

use std::time::Duration;

use agentidp_proto::v1;

/// How many organizations there are. The first has half of the agents.
const ORGANIZATIONS: u64 = 10;

/// How many owners there are in all.
const OWNERS: u64 = 500;

/// How many agents are registered in one call: the most that may be.
pub(super) const BATCH: u64 = 100;

/// A public key for credentials that nobody uses: that of RFC 8037, appendix A.2.
pub(super) const PUBLIC_KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPJHURo"}"#;

const TYPES: [&str; 8] = [
    "screener",
    "classifier",
    "orchestrator",
    "extractor",
    "summarizer",
    "router",
    "monitor",
    "custom",
];
const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];
const CAPABILITIES: [&str; 6] = [
    "documents:read",
    "documents:write",
    "mail:send",
    "payments:read",
    "reports:write",
    "search:query",
];
const REGIONS: [&str; 5] = ["eu-1", "eu-2", "us-1", "us-2", "ap-1"];

/// The names of all organizations.
pub(super) fn organizations() -> impl Iterator<Item = String> {
    (0..ORGANIZATIONS).map(organization)
}

fn organization(number: u64) -> String {
    format!("tenant-{number}")
}

/// The organization of a batch.
pub(super) fn organization_of(batch: u64) -> String {
    organization(match batch % 2 {
        0 => 0,
        _ => 1 + batch / 2 % (ORGANIZATIONS - 1),
    })
}

/// The e-mail address of an agent.
pub(super) fn email(number: u64) -> String {
    let organization = organization_of(number / BATCH);
    let agent_type = one_of(&TYPES, scattered(number));
    format!("{agent_type}-{number:08}@{organization}.example")
}

/// An owner's name.
pub(super) fn owner(number: u64) -> String {
    format!("team-{:03}", number % OWNERS)
}

/// An agent.
pub(super) fn agent(number: u64) -> v1::RegisterAgentRequest {
    let bits = scattered(number);
    let capabilities = [one_of(&CAPABILITIES, bits >> 8), "tokens:use"];
    let metadata = [
        ("region", one_of(&REGIONS, bits >> 16).to_owned()),
        ("cost-center", format!("{:05}", (bits >> 24) % 10_000)),
    ];
    v1::RegisterAgentRequest {
        organization: organization_of(number / BATCH),
        email: email(number),
        agent_type: one_of(&TYPES, bits).to_owned(),
        version: format!("1.{}.{}", (bits >> 32) % 20, (bits >> 40) % 10),
        capabilities: capabilities.map(str::to_owned).to_vec(),
        owner: owner(bits >> 48),
        deployment_env: one_of(&ENVIRONMENTS, bits >> 56).to_owned(),
        audiences: Vec::new(),
        metadata: metadata
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
    }
}

/// How long the credential of an agent is to live: some minutes to some four hundred days, and every
/// tenth as short as can be.
pub(super) fn life(number: u64) -> Duration {
    let bits = scattered(number);
    match bits % 10 {
        0 => Duration::from_secs(1),
        _ => Duration::from_mins(10 + (bits >> 8) % (400 * 24 * 60)),
    }
}

fn one_of(words: &[&'static str], bits: u64) -> &'static str {
    let count = u64::try_from(words.len()).unwrap_or(1);
    let at = usize::try_from(bits % count).unwrap_or(0);
    words.get(at).copied().unwrap_or_default()
}

/// Bits that look random and are the same for the same number (the finalizer of splitmix64).
fn scattered(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn agents_are_of_every_kind_and_no_two_have_one_address() {
        let agents: Vec<_> = (0..5_000).map(agent).collect();
        let different = |value: fn(&v1::RegisterAgentRequest) -> &str| {
            agents.iter().map(value).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(different(|it| &it.email), 5_000);
        assert_eq!(different(|it| &it.organization), 10);
        assert_eq!(different(|it| &it.owner), 500);
        assert_eq!(different(|it| &it.agent_type), 8);
        assert_eq!(different(|it| &it.deployment_env), 3);
    }

    #[test]
    fn an_agent_is_the_same_in_every_run() {
        assert_eq!(agent(1234), agent(1234));
        assert_eq!(agent(1234).email, email(1234));
    }
}
