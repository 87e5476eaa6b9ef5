//! Questions for agents, asked of a store and of the model alike.

use std::collections::BTreeSet;

use agentidp_shared::{AgentStatus, AgentType, DeploymentEnv, OrganizationId};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{at, number_bytes};
use crate::store::{AgentFilter, AgentOrder, AgentPage, AgentQuery, OneOf, Store};

fn one_of<T: Clone + std::fmt::Debug + 'static>(
    all: Vec<T>,
) -> impl Strategy<Value = Option<OneOf<T>>> {
    let count = all.len();
    let values = subsequence(all, 1..=count);
    let one_of = (values, any::<bool>()).prop_map(|(values, is_not)| OneOf { values, is_not });
    option::weighted(0.3, one_of)
}

fn filters() -> impl Strategy<Value = AgentFilter> {
    let organizations = subsequence(vec![0, 1, 2, 9], 0..4).prop_map(|numbers| {
        let ids = numbers.into_iter().map(number_bytes);
        ids.map(OrganizationId::from_bytes).collect::<BTreeSet<_>>()
    });
    let owners = ["team", "Other", "nobody"].map(|owner| owner.parse().unwrap());
    let capabilities = ["a:b", "c:d", "a:d"].map(|it| it.parse().unwrap());
    let prefixes = ["a", "a1", "a3@acme.example", "a3@acme.example.x", "b"].map(str::to_owned);
    let texts = ["TEAM", "other", "a2", "C:D", "example", "absent"].map(str::to_owned);
    (
        option::weighted(0.3, organizations),
        one_of(AgentStatus::ALL.to_vec()),
        one_of(owners.to_vec()),
        one_of(AgentType::ALL.to_vec()),
        one_of(DeploymentEnv::ALL.to_vec()),
        option::weighted(0.2, select(capabilities.to_vec())),
        option::weighted(0.2, select(prefixes.to_vec())),
        option::weighted(0.2, (0..4_i64).prop_map(|time| at(time * 1_000 + 1))),
        option::weighted(0.2, select(texts.to_vec())),
    )
        .prop_map(
            |(
                organizations,
                status,
                owner,
                agent_type,
                deployment_env,
                capability,
                email_prefix,
                expires_before,
                text,
            )| AgentFilter {
                organizations,
                status,
                owner,
                agent_type,
                deployment_env,
                capability,
                email_prefix,
                expires_before,
                text,
            },
        )
}

/// Any question, from its beginning.
pub(crate) fn queries() -> impl Strategy<Value = AgentQuery> {
    let orders = vec![
        AgentOrder::Created,
        AgentOrder::Email,
        AgentOrder::LastAuth,
        AgentOrder::Expires,
    ];
    (filters(), select(orders), any::<bool>(), 1..5_usize).prop_map(
        |(filter, order, is_descending, limit)| AgentQuery {
            filter,
            order,
            is_descending,
            after: None,
            limit,
        },
    )
}

/// All pages of the answer to a question.
fn pages(store: &dyn Store, query: &AgentQuery) -> Vec<AgentPage> {
    let mut query = query.clone();
    let mut pages = Vec::new();
    loop {
        let page = store.agents(&query).unwrap();
        assert!(page.agents.len() <= query.limit);
        query.after.clone_from(&page.next);
        pages.push(page);
        if query.after.is_none() {
            return pages;
        }
    }
}

/// Holds the answer of `store` against that of the model, page by page. With free text a page may
/// have less on it.
pub(crate) fn assert_answered_alike(store: &dyn Store, query: &AgentQuery, model: &dyn Store) {
    let (answer, expected) = (pages(store, query), pages(model, query));
    if query.filter.text.is_none() {
        assert_eq!(answer, expected, "{query:?}");
        return;
    }
    assert!(answer.iter().all(|page| page.total.is_none()));
    let agents = |pages: Vec<AgentPage>| -> Vec<_> {
        pages.into_iter().flat_map(|page| page.agents).collect()
    };
    assert_eq!(agents(answer), agents(expected), "{query:?}");
}
