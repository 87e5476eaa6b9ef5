//! Agents over REST.

use std::collections::BTreeMap;

use agentidp_shared::agent::{MAX_AUDIENCES, Transition, audiences, parse_version};
use agentidp_shared::scope::MAX_SCOPES;
use agentidp_shared::{
    Agent, AgentId, AgentStatus, AgentType, AgentUpdate, Code, DeploymentEnv, FieldError, Metadata,
    Owner, Reason, Resource, Scope, ScopeSet,
};
use serde_json::Value;

use super::Answer;
use super::error::ApiError;
use super::json::{Members, required};
use super::page::{Page, PageRequest, bad_cursor};
use super::request::{Call, Query};
use super::view::AgentView;
use crate::service::agent::Registration;
use crate::service::{Changed, ServiceError};
use crate::store::{AgentFilter, AgentOrder, AgentPosition, AgentQuery, OneOf};

/// The longest text that agents are searched for, in characters.
pub(in crate::http) const MAX_SEARCH: usize = 128;
/// The longest beginning of an e-mail that agents are searched for.
pub(in crate::http) const MAX_EMAIL_PREFIX: usize = 254;
/// Why an agent was decommissioned when nothing is said.
pub(in crate::http) const DEFAULT_REASON: &str = "requested over the API";
/// What agents can be ordered by, as the wire spells it.
pub(in crate::http) const ORDERS: [(&str, AgentOrder); 4] = [
    ("created_at", AgentOrder::Created),
    ("email", AgentOrder::Email),
    ("last_auth_at", AgentOrder::LastAuth),
    ("expires_at", AgentOrder::Expires),
];

/// `POST /agents`
pub(super) async fn register(mut call: Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let registration = registration(std::mem::take(&mut call.body))?;
    let organization = call.organization()?;
    let service = &call.app.service;
    let registered = service.register_agent(&call.caller, &organization, registration);
    let changed = registered.await?;
    let location = call.location(&changed.record.id);
    Ok(written(&call, &changed)?.created(location))
}

/// `GET /agents`
pub(super) async fn list(mut call: Call) -> Result<Answer, ApiError> {
    let asked = PageRequest::take(&mut call, "agents")?;
    let mut query = query(&mut call.query)?;
    call.query.finish()?;
    query.limit = asked.limit;
    query.after = match &asked.after {
        Some(bytes) => Some(position(bytes).ok_or_else(bad_cursor)?),
        None => None,
    };
    let service = &call.app.service;
    let page = service.list_agents(&call.caller, query, None).await?;
    let agents = page
        .agents
        .iter()
        .map(|stored| service.shown_agent(&stored.record))
        .collect::<Result<Vec<_>, _>>()?;
    let next_cursor = page.next.map(|next| {
        let bytes = [next.id.as_bytes(), next.value.as_slice()].concat();
        asked.cursor(&call, &bytes)
    });
    Answer::new(&Page {
        items: agents.iter().map(AgentView::from).collect(),
        next_cursor,
        total: page.total,
    })
}

/// `GET /agents/{id}`
pub(super) fn show(call: &Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let id: AgentId = call.id("agent_id")?;
    let service = &call.app.service;
    let stored = service.find_agent(&call.caller, &id.to_string())?;
    answer(call, &stored.record)
}

/// `PATCH /agents/{id}`
pub(super) async fn update(mut call: Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let id: AgentId = call.id("agent_id")?;
    let update = changes(std::mem::take(&mut call.body))?;
    let service = &call.app.service;
    let changed = service
        .update_agent(&call.caller, &id.to_string(), update, call.seen())
        .await?;
    written(&call, &changed)
}

/// `POST /agents/{id}/suspend` and its like.
pub(super) async fn transition(mut call: Call, transition: Transition) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let id: AgentId = call.id("agent_id")?;
    let mut members = std::mem::take(&mut call.body);
    let mut reason: Option<Reason> = members.text("reason")?;
    members.finish()?;
    if !matches!(transition, Transition::Resume | Transition::Archive) {
        reason = Some(required("reason", reason)?);
    }
    change(&call, id, transition, reason).await
}

/// `DELETE /agents/{id}`
pub(super) async fn delete(mut call: Call) -> Result<Answer, ApiError> {
    let reason = take_reason(&mut call.query)?;
    call.query.finish()?;
    let id: AgentId = call.id("agent_id")?;
    change(&call, id, Transition::Decommission, Some(reason)).await
}

/// Takes the reason of a `DELETE`, which has no body.
pub(super) fn take_reason(query: &mut Query) -> Result<Reason, ApiError> {
    let reason = query.take_by("reason", str::parse)?;
    match reason {
        Some(reason) => Ok(reason),
        None => DEFAULT_REASON
            .parse()
            .map_err(|error: FieldError| ServiceError::from(error).into()),
    }
}

async fn change(
    call: &Call,
    id: AgentId,
    transition: Transition,
    reason: Option<Reason>,
) -> Result<Answer, ApiError> {
    let (service, id) = (&call.app.service, id.to_string());
    let moved = service.transition_agent(&call.caller, &id, transition, reason, call.seen());
    let changed = moved.await?;
    written(call, &changed)
}

fn written(call: &Call, changed: &Changed<Agent>) -> Result<Answer, ApiError> {
    answer(call, &changed.record)
}

fn answer(call: &Call, agent: &Agent) -> Result<Answer, ApiError> {
    let shown = call.app.service.shown_agent(agent)?;
    Ok(Answer::new(&AgentView::from(&shown))?.revision(agent.revision))
}

fn registration(mut members: Members) -> Result<Registration, ApiError> {
    let registration = Registration {
        email: required("email", members.text("email")?)?,
        agent_type: required("agent_type", members.text::<AgentType>("agent_type")?)?,
        version: required("version", members.text_by("version", parse_version)?)?,
        capabilities: capabilities(&mut members)?.unwrap_or_default(),
        owner: required("owner", members.text::<Owner>("owner")?)?,
        deployment_env: required(
            "deployment_env",
            members.text::<DeploymentEnv>("deployment_env")?,
        )?,
        audiences: resources(&mut members)?.unwrap_or_default(),
        metadata: metadata(&mut members)?.unwrap_or_default(),
    };
    members.finish()?;
    Ok(registration)
}

fn changes(mut members: Members) -> Result<AgentUpdate, ApiError> {
    let update = AgentUpdate {
        agent_type: members.text("agent_type")?,
        version: members.text_by("version", parse_version)?,
        capabilities: capabilities(&mut members)?,
        owner: members.text("owner")?,
        deployment_env: members.text("deployment_env")?,
        audiences: resources(&mut members)?,
        metadata: metadata(&mut members)?,
    };
    members.finish()?;
    Ok(update)
}

fn capabilities(members: &mut Members) -> Result<Option<ScopeSet>, ApiError> {
    let list = members.list::<Scope>("capabilities", MAX_SCOPES)?;
    list.map(|list| {
        let set = list.into_iter().collect::<std::collections::BTreeSet<_>>();
        ScopeSet::try_from(set)
            .map_err(|error: FieldError| ApiError::invalid("capabilities", error.rule))
    })
    .transpose()
}

fn resources(members: &mut Members) -> Result<Option<Vec<Resource>>, ApiError> {
    let list = members.list::<Resource>("audiences", MAX_AUDIENCES)?;
    list.map(|list| {
        audiences(list).map_err(|error: FieldError| ApiError::invalid("audiences", error.rule))
    })
    .transpose()
}

fn metadata(members: &mut Members) -> Result<Option<Metadata>, ApiError> {
    let Some(object) = members.object("metadata")? else {
        return Ok(None);
    };
    let mut entries = BTreeMap::new();
    for (name, value) in object {
        let Value::String(value) = value else {
            return Err(ApiError::invalid("metadata", "values must be strings"));
        };
        entries.insert(name, value);
    }
    Metadata::try_from(entries)
        .map(Some)
        .map_err(|error| ApiError::invalid("metadata", error.rule))
}

fn query(query: &mut Query) -> Result<AgentQuery, ApiError> {
    let filter = AgentFilter {
        organizations: None,
        status: query
            .take_by("status", str::parse::<AgentStatus>)?
            .map(OneOf::only),
        owner: query
            .take_by("owner", str::parse::<Owner>)?
            .map(OneOf::only),
        agent_type: query
            .take_by("agent_type", str::parse::<AgentType>)?
            .map(OneOf::only),
        deployment_env: query
            .take_by("deployment_env", str::parse::<DeploymentEnv>)?
            .map(OneOf::only),
        capability: query.take_by("capability", str::parse)?,
        email_prefix: query.take_by("email_prefix", email_prefix)?,
        expires_before: query.take_by("expires_before", str::parse)?,
        text: query.take_by("text", search)?,
    };
    let order = query.take_by("sort", |text| {
        let known = ORDERS.iter().find(|(name, _)| *name == text);
        known.map(|(_, order)| *order).ok_or(FieldError::new(
            "sort",
            "must be one of created_at, email, last_auth_at, expires_at",
        ))
    })?;
    let is_descending = query.take_by("order", |text| match text {
        "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(FieldError::new("order", "must be one of asc, desc")),
    })?;
    Ok(AgentQuery {
        filter,
        order: order.unwrap_or_default(),
        is_descending: is_descending.unwrap_or(true),
        after: None,
        limit: 0,
    })
}

fn email_prefix(text: &str) -> Result<String, FieldError> {
    let is_part =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_+.@".contains(&byte);
    let is_prefix = (1..=MAX_EMAIL_PREFIX).contains(&text.len()) && text.bytes().all(is_part);
    is_prefix.then(|| text.to_owned()).ok_or(FieldError::new(
        "email_prefix",
        "must be the beginning of a lower-case e-mail",
    ))
}

fn search(text: &str) -> Result<String, FieldError> {
    let is_search = (1..=MAX_SEARCH).contains(&text.chars().count());
    is_search
        .then(|| text.to_owned())
        .ok_or(FieldError::new("text", "must be 1 to 128 characters"))
}

/// The position of a cursor: the agent's id, and then what it is ordered by.
fn position(bytes: &[u8]) -> Option<AgentPosition> {
    let (id, value) = bytes.split_first_chunk::<16>()?;
    Some(AgentPosition {
        value: value.to_vec(),
        id: AgentId::from_bytes(*id),
    })
}

impl Call {
    /// The organization of the caller, which is the token's.
    fn organization(&self) -> Result<String, ApiError> {
        match &self.caller.reach {
            crate::service::Reach::Organizations(reached) => {
                reached.first().map(ToString::to_string)
            }
            crate::service::Reach::Installation => None,
        }
        .ok_or_else(|| ApiError::new(Code::AuthorizationError, "the token names no organization"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"email":"a@acme.example","agent_type":"screener","version":"1.0.0",
        "owner":"team-a","deployment_env":"production","capabilities":["resume:read"],
        "audiences":["https://api.example/"],"metadata":{"a":"b"}}"#;

    fn read(json: &str) -> Result<Registration, ApiError> {
        registration(Members::parse(json.as_bytes())?)
    }

    #[test]
    fn an_error_names_the_field_that_broke_its_rule() {
        assert!(read(GOOD).is_ok());
        for (from, to, field) in [
            ("\"a@acme.example\"", "\"A@acme.example\"", "email"),
            ("\"a@acme.example\"", "7", "email"),
            ("\"a@acme.example\"", "null", "email"),
            ("\"email\":", "\"mail\":", "email"),
            ("screener", "janitor", "agent_type"),
            ("1.0.0", "1.0", "version"),
            ("team-a", "", "owner"),
            ("team-a", "a\\u202eb", "owner"),
            ("production", "moon", "deployment_env"),
            ("[\"resume:read\"]", "\"resume:read\"", "capabilities"),
            ("resume:read", "RESUME", "capabilities"),
            ("[\"resume:read\"]", "[1]", "capabilities"),
            ("https://api.example/", "api", "audiences"),
            ("{\"a\":\"b\"}", "{\"a\":1}", "metadata"),
            ("{\"a\":\"b\"}", "{\"a b\":\"\"}", "metadata"),
            ("{\"a\":\"b\"}", "[]", "metadata"),
            ("\"metadata\"", "\"status\"", "status"),
            ("\"metadata\"", "\"revision\"", "revision"),
        ] {
            let json = GOOD.replace(from, to);
            assert_ne!(json, GOOD, "{from}");
            let error = read(&json).unwrap_err();
            assert_eq!(error.field(), Some(field), "{json}");
        }
    }

    #[test]
    fn an_organization_in_the_body_says_nothing() {
        let json = GOOD.replacen('{', "{\"organizationId\":\"x\",\"organization_id\":{},", 1);
        assert!(read(&json).is_ok());
    }

    #[test]
    fn a_change_of_what_never_changes_is_refused() {
        for name in ["email", "id", "status", "created_at"] {
            let json = format!("{{\"{name}\":\"a@acme.example\"}}");
            let error = changes(Members::parse(json.as_bytes()).unwrap()).unwrap_err();
            assert_eq!(error.field(), Some(name));
        }
    }

    #[test]
    fn a_filter_is_of_its_type() {
        for bad in [
            "owner=",
            "status=dead",
            "agent_type=Screener",
            "deployment_env=prod",
            "capability=resume",
            "email_prefix=A",
            "email_prefix=",
            "text=",
            "expires_before=yesterday",
            "sort=owner",
            "order=up",
        ] {
            let error = query(&mut Query::parse(bad).unwrap()).unwrap_err();
            assert_eq!(error.field(), bad.split('=').next(), "{bad}");
        }
        let asked = query(&mut Query::parse("sort=email&order=asc&text=x").unwrap()).unwrap();
        assert_eq!(
            (asked.order, asked.is_descending),
            (AgentOrder::Email, false)
        );
        assert!(query(&mut Query::parse("").unwrap()).unwrap().is_descending);
    }
}
