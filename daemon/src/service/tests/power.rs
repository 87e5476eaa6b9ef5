//! Nobody hands on more power over this server than they have, nor takes it by way of another agent.

use agentidp_shared::AgentUpdate;

use super::tokens::registration;
use super::*;

impl Bench {
    /// Whoever holds a token of an agent with these capabilities.
    fn automation(&self, capabilities: &str) -> Caller {
        let demo = self.service.find_agent(&self.operator(), AGENT).unwrap();
        Caller {
            reach: Reach::only(demo.record.organization_id),
            ceiling: Some(capabilities.parse().unwrap()),
            ..self.operator()
        }
    }
}

fn code<T>(result: Result<T, ServiceError>) -> Option<Code> {
    result.err().map(|error| error.code)
}

#[tokio::test]
async fn automation_gives_agents_no_more_power_than_it_has() {
    let bench = Bench::new().await;
    let caller = bench.automation("agents:write credentials:write");
    let service = &bench.service;
    for (email, capabilities, refused) in [
        ("a@demo.example", "ledger:write", None),
        ("b@demo.example", "agents:write", None),
        ("c@demo.example", "audit:read", Some(Code::ScopeNotAllowed)),
    ] {
        let registration = registration(email, capabilities);
        let registered = service.register_agent(&caller, "demo", registration).await;
        assert_eq!(code(registered), refused, "{capabilities}");
    }
    let update = |capabilities: &str| AgentUpdate {
        capabilities: Some(capabilities.parse().unwrap()),
        ..AgentUpdate::default()
    };
    let refused = service
        .update_agent(&caller, AGENT, update("tokens:write"), 0)
        .await;
    assert_eq!(code(refused), Some(Code::ScopeNotAllowed));
    // What an operator gave stays, whoever changes the rest.
    service
        .update_agent(&bench.operator(), AGENT, update("tokens:write"), 0)
        .await
        .unwrap();
    let kept = service
        .update_agent(&caller, AGENT, update("tokens:write ledger:read"), 0)
        .await;
    assert_eq!(code(kept), None);
    // It could be given a credential without it, and get it back from whoever gave it.
    let taken = service
        .update_agent(&caller, AGENT, update("ledger:read"), 0)
        .await;
    assert_eq!(code(taken), Some(Code::ScopeNotAllowed));
}

#[tokio::test]
async fn automation_gets_no_credential_of_an_agent_with_more_power() {
    let bench = Bench::new().await;
    let caller = bench.automation("agents:write credentials:write");
    let strong = registration("strong@demo.example", "tokens:write");
    let (operator, service) = (bench.operator(), &bench.service);
    service
        .register_agent(&operator, "demo", strong)
        .await
        .unwrap();
    let issue = async |caller: &Caller| {
        service
            .issue_credential(caller, "strong@demo.example", Proof::ClientSecret, None)
            .await
    };
    assert_eq!(code(issue(&caller).await), Some(Code::ScopeNotAllowed));
    let issued = issue(&operator).await.unwrap();
    let rotated = service
        .rotate_credential(&caller, issued.credential.id, Rotation::default())
        .await;
    assert_eq!(code(rotated), Some(Code::ScopeNotAllowed));
    let weaker = service
        .issue_credential(&caller, AGENT, Proof::ClientSecret, None)
        .await;
    assert_eq!(code(weaker), None);
}

#[tokio::test]
async fn a_token_is_worth_what_it_says_and_its_agent_still_has() {
    let bench = Bench::new().await;
    let issued = bench
        .agent_with("demo", "w@demo.example", "agents:write credentials:write")
        .await;
    let mut request = bench.request(&issued);
    request.token.scope = Some("credentials:write".parse().unwrap());
    let token = bench.service.issue(&request).await.unwrap().value;
    let authorize = |scope| {
        let bearer = token.access_token.as_str();
        let action = Action::AgentUpdate;
        bench
            .service
            .authorize(bearer, scope, action, bench.origin())
            .map(|it| it.value)
    };
    // What the agent could have asked for besides is not in the token, nor given on by it.
    assert_eq!(
        code(authorize("agents:write")),
        Some(Code::InsufficientScope)
    );
    let caller = authorize("credentials:write").unwrap();
    let own = bench
        .service
        .issue_credential(&caller, "w@demo.example", Proof::ClientSecret, None)
        .await;
    assert_eq!(code(own), Some(Code::ScopeNotAllowed));
    // What is taken from the agent is taken from its tokens at once.
    let update = AgentUpdate {
        capabilities: Some("agents:write".parse().unwrap()),
        ..AgentUpdate::default()
    };
    bench
        .service
        .update_agent(&bench.operator(), "w@demo.example", update, 0)
        .await
        .unwrap();
    assert_eq!(
        code(authorize("credentials:write")),
        Some(Code::InsufficientScope)
    );
}
