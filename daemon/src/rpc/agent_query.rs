//! Which agents, in which order, from where on: from the wire to the store's question.

use std::str::FromStr;

use agentidp_proto::convert::to_domain_timestamp;
use agentidp_proto::v1;
use agentidp_shared::{AgentId, FieldError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{page_size, present};
use crate::store::{AgentFilter, AgentOrder, AgentPosition, AgentQuery, OneOf};

/// How many words one field may be compared with.
const MAX_WORDS: usize = 64;
/// The longest text that is looked for: what an e-mail may have.
const MAX_TEXT: usize = 254;

/// A request for a list, without the organization, which has to be found first.
pub(super) fn query(request: &v1::ListAgentsRequest) -> Result<AgentQuery, FieldError> {
    let order = order(&request.order)?;
    // What is asked for without an order is the newest first.
    let is_descending = !request.ascending;
    let after = present(request.page_token.clone())
        .map(|token| position(&token, order, is_descending))
        .transpose()?;
    let filter = request.filter.clone().unwrap_or_default();
    Ok(AgentQuery {
        filter: self::filter(filter)?,
        order,
        is_descending,
        after,
        limit: page_size(request.limit),
    })
}

/// A filter, without its organization.
pub(super) fn filter(filter: v1::AgentFilter) -> Result<AgentFilter, FieldError> {
    let text = |text: String, field| match present(text) {
        Some(text) if text.len() > MAX_TEXT => {
            Err(FieldError::new(field, "must be at most 254 bytes"))
        }
        text => Ok(text),
    };
    Ok(AgentFilter {
        organizations: None,
        status: words(filter.status, "status")?,
        owner: words(filter.owner, "owner")?,
        agent_type: words(filter.agent_type, "agent_type")?,
        deployment_env: words(filter.deployment_env, "deployment_env")?,
        capability: present(filter.capability)
            .map(TryInto::try_into)
            .transpose()?,
        email_prefix: text(filter.email_prefix, "email_prefix")?,
        expires_before: filter.expires_before.map(to_domain_timestamp),
        text: text(filter.text, "text")?,
    })
}

fn words<T: FromStr<Err = FieldError>>(
    words: Option<v1::Words>,
    field: &'static str,
) -> Result<Option<OneOf<T>>, FieldError> {
    let Some(v1::Words { words, is_not }) = words.filter(|it| !it.words.is_empty()) else {
        return Ok(None);
    };
    if words.len() > MAX_WORDS {
        return Err(FieldError::new(field, "must be at most 64 words"));
    }
    let values = words.iter().map(|word| word.parse());
    Ok(Some(OneOf {
        values: values.collect::<Result<_, _>>()?,
        is_not,
    }))
}

fn order(text: &str) -> Result<AgentOrder, FieldError> {
    Ok(match text {
        "" | "created" => AgentOrder::Created,
        "email" => AgentOrder::Email,
        "last_auth" => AgentOrder::LastAuth,
        "expires" => AgentOrder::Expires,
        _ => {
            return Err(FieldError::new(
                "order",
                "must be one of created, email, last_auth, expires",
            ));
        }
    })
}

/// What a token begins with, so that one list's is not taken for another's.
const fn kind(order: AgentOrder, is_descending: bool) -> u8 {
    let order = match order {
        AgentOrder::Created => 0,
        AgentOrder::Email => 1,
        AgentOrder::LastAuth => 2,
        AgentOrder::Expires => 3,
    };
    order << 1 | is_descending as u8
}

/// The token that asks for what comes after `position`: the list's kind, the agent's id, and the
/// value that it is ordered by, in base64url.
pub(super) fn token(query: &AgentQuery, position: &AgentPosition) -> String {
    let mut bytes = vec![kind(query.order, query.is_descending)];
    bytes.extend_from_slice(position.id.as_bytes());
    bytes.extend_from_slice(&position.value);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position that a token of a list in this order stands for.
pub(super) fn position(
    token: &str,
    order: AgentOrder,
    is_descending: bool,
) -> Result<AgentPosition, FieldError> {
    let parsed = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (kind, rest) = bytes.split_first()?;
        let (id, value) = rest.split_first_chunk::<16>()?;
        (*kind == self::kind(order, is_descending)).then(|| AgentPosition {
            value: value.to_vec(),
            id: AgentId::from_bytes(*id),
        })
    };
    parsed().ok_or(FieldError::new(
        "page_token",
        "must be one that this list, in this order, was answered with",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(order: &str, ascending: bool) -> v1::ListAgentsRequest {
        v1::ListAgentsRequest {
            order: order.to_owned(),
            ascending,
            ..v1::ListAgentsRequest::default()
        }
    }

    #[test]
    fn a_page_token_brings_back_the_place_whatever_it_is_ordered_by() {
        for (order, value) in [
            ("created", vec![]),
            ("email", b"a@acme.example".to_vec()),
            ("last_auth", vec![0; 8]),
            ("expires", i64::MAX.to_be_bytes().to_vec()),
            ("expires", vec![0xff; 200]),
        ] {
            for ascending in [false, true] {
                let place = AgentPosition {
                    value: value.clone(),
                    id: AgentId::from_bytes([0xab; 16]),
                };
                let first = query(&request(order, ascending)).unwrap();
                let next = v1::ListAgentsRequest {
                    page_token: token(&first, &place),
                    ..request(order, ascending)
                };
                assert_eq!(query(&next).unwrap().after, Some(place));
            }
        }
    }

    #[test]
    fn a_page_token_of_another_list_is_refused() {
        let first = query(&request("email", true)).unwrap();
        let place = AgentPosition {
            value: b"a@acme.example".to_vec(),
            id: AgentId::from_bytes([1; 16]),
        };
        let good = token(&first, &place);
        for (order, ascending, token) in [
            ("email", false, good.as_str()),
            ("created", true, &good),
            ("email", true, "x"),
            ("email", true, "AAAA"),
            ("email", true, &format!("{good}=")),
        ] {
            let next = v1::ListAgentsRequest {
                page_token: token.to_owned(),
                ..request(order, ascending)
            };
            assert_eq!(query(&next).unwrap_err().field, "page_token", "{token}");
        }
    }

    #[test]
    fn a_filter_is_what_its_words_say_or_is_refused() {
        let words = |words: &[&str], is_not| {
            Some(v1::Words {
                words: words.iter().map(ToString::to_string).collect(),
                is_not,
            })
        };
        let parsed = filter(v1::AgentFilter {
            status: words(&["archived", "revoked"], true),
            owner: words(&[], true),
            ..v1::AgentFilter::default()
        });
        let parsed = parsed.unwrap();
        assert!(
            parsed
                .status
                .is_some_and(|it| it.is_not && it.values.len() == 2)
        );
        assert_eq!(parsed.owner, None, "no words are no filter");
        for (field, wrong) in [
            (
                "status",
                v1::AgentFilter {
                    status: words(&["happy"], false),
                    ..v1::AgentFilter::default()
                },
            ),
            (
                "owner",
                v1::AgentFilter {
                    owner: words(&["o"; 65], false),
                    ..v1::AgentFilter::default()
                },
            ),
            (
                "text",
                v1::AgentFilter {
                    text: "x".repeat(255),
                    ..v1::AgentFilter::default()
                },
            ),
        ] {
            assert_eq!(filter(wrong).unwrap_err().field, field);
        }
        assert_eq!(query(&request("size", true)).unwrap_err().field, "order");
    }
}
