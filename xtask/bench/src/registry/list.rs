//! Lists of a hundred agents: CPU time of the server by filter and order, and free text.

use std::time::{Duration, Instant};

use agentidp_proto::v1::{self, AgentFilter, ListAgentsRequest, Words};
use anyhow::ensure;
use prost_types::Timestamp;
use xtask::signals::Interrupt;

use super::sample;
use crate::figures::{Goal, judged};
use crate::server::Server;

/// How many agents are asked for.
const PAGE: u32 = 100;

/// How much CPU time a list may cost the server, in milliseconds.
const GOAL: Goal = Goal::AtMost(20.0);

/// No list is repeated for longer than this: then it is known to be slow.
const BOUND: Duration = Duration::from_secs(2);

/// Free text is looked for no longer than this.
const TEXT_BOUND: Duration = Duration::from_mins(1);

const ORDERS: [&str; 4] = ["created", "email", "last_auth", "expires"];

/// What is asked for.
struct Case {
    name: &'static str,
    filter: AgentFilter,
}

/// What it cost, in milliseconds of CPU time a page.
struct Cost {
    first: f64,
    next: f64,
}

/// How many lists are asked for, twice, before any is measured.
const WARM_UP: u32 = 100;

/// Measures each filter in each order and direction, then free text, and prints.
pub(super) fn measure(
    server: &Server,
    repetitions: u32,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    println!(
        "\nCPU time of the server for a list of {PAGE}, in ms: the first page / one of those behind \
         it.\nThe clock ticks every 10 ms: the mean of {repetitions} lists is good to {:.1} ms.",
        10.0 / f64::from(repetitions)
    );
    print!("{:<28}", "filter");
    for order in ORDERS {
        print!(" {:>13} {:>13}", format!("{order} ↑"), format!("{order} ↓"));
    }
    println!();
    let mut worst = (0.0, String::new());
    // What the start left to do, and what is read for the first time, is not a list's cost.
    let warm_up = ListAgentsRequest {
        limit: PAGE,
        ..ListAgentsRequest::default()
    };
    cost(server, &warm_up, WARM_UP, interrupt)?;
    for case in cases(server)? {
        print!("{:<28}", case.name);
        for (order, ascending) in ORDERS
            .iter()
            .flat_map(|order| [(order, true), (order, false)])
        {
            let request = ListAgentsRequest {
                limit: PAGE,
                page_token: String::new(),
                filter: Some(case.filter.clone()),
                order: (*order).to_owned(),
                ascending,
            };
            let cost = cost(server, &request, repetitions, interrupt)?;
            print!(" {:>13}", format!("{:.1} / {:.1}", cost.first, cost.next));
            let slower = cost.first.max(cost.next);
            if slower > worst.0 {
                let direction = if ascending { '↑' } else { '↓' };
                worst = (slower, format!("{}, {order} {direction}", case.name));
            }
        }
        println!();
    }
    let name = format!("CPU time of the slowest list ({})", worst.1);
    println!("{}", judged(name, worst.0, "ms", GOAL));
    for (name, text) in [
        ("free text that few have", "-00000042@"),
        ("free text that none has", "no agent has this"),
    ] {
        free_text(server, name, text, interrupt)?;
    }
    Ok(())
}

/// Every filter that there is an index for, wide and narrow.
fn cases(server: &Server) -> anyhow::Result<Vec<Case>> {
    let now = server.operator().status()?.time.unwrap_or_default();
    let words = |word: &str| {
        Some(Words {
            words: vec![word.to_owned()],
            is_not: false,
        })
    };
    let any = AgentFilter::default;
    let organization = |number| sample::organizations().nth(number).unwrap_or_default();
    let in_days = |days: i64| Timestamp {
        seconds: now.seconds + days * 24 * 60 * 60,
        nanos: 0,
    };
    let case = |name, filter| Case { name, filter };
    #[rustfmt::skip]
    let cases = vec![
        case("none", any()),
        case("organization, half", AgentFilter { organization: organization(0), ..any() }),
        case("organization, 1/18", AgentFilter { organization: organization(1), ..any() }),
        case("owner, 1/500", AgentFilter { owner: words(&sample::owner(42)), ..any() }),
        case("status active", AgentFilter { status: words("active"), ..any() }),
        case("status suspended, 1/100", AgentFilter { status: words("suspended"), ..any() }),
        case("status archived, 1/800", AgentFilter { status: words("archived"), ..any() }),
        case("type, 1/8", AgentFilter { agent_type: words("router"), ..any() }),
        case("environment, 1/3", AgentFilter { deployment_env: words("staging"), ..any() }),
        case("e-mail prefix, 1/8", AgentFilter { email_prefix: "screener-".to_owned(), ..any() }),
        case("e-mail prefix, narrow", AgentFilter { email_prefix: "screener-00001".to_owned(), ..any() }),
        case("expiry in a week", AgentFilter { expires_before: Some(in_days(7)), ..any() }),
        case("expiry in 300 days", AgentFilter { expires_before: Some(in_days(300)), ..any() }),
    ];
    Ok(cases)
}

/// Asks for the first page again and again, then for the pages behind it, beginning anew at the end.
fn cost(
    server: &Server,
    request: &ListAgentsRequest,
    repetitions: u32,
    interrupt: &Interrupt,
) -> anyhow::Result<Cost> {
    let mut next = String::new();
    let first = mean(server, repetitions, interrupt, || {
        next = server.operator().list(request.clone())?.next_page_token;
        Ok(())
    })?;
    let second = next.clone();
    let next = mean(server, repetitions, interrupt, || {
        let page = server.operator().list(ListAgentsRequest {
            page_token: next.clone(),
            ..request.clone()
        })?;
        next = page.next_page_token;
        if next.is_empty() {
            next.clone_from(&second);
        }
        Ok(())
    })?;
    Ok(Cost { first, next })
}

/// The CPU time of the server for a call, in milliseconds.
fn mean(
    server: &Server,
    repetitions: u32,
    interrupt: &Interrupt,
    mut call: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    let before = server.cpu()?;
    let mut calls = 0_u32;
    while calls < repetitions && start.elapsed() < BOUND {
        ensure!(!interrupt.raised(), "interrupted");
        call()?;
        calls += 1;
    }
    let used = server.cpu()?.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e3 / f64::from(calls))
}

/// Looks for a text from the newest agent to the oldest, page by page, as a console would.
fn free_text(server: &Server, name: &str, text: &str, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut request = ListAgentsRequest {
        limit: PAGE,
        filter: Some(AgentFilter {
            text: text.to_owned(),
            ..AgentFilter::default()
        }),
        ..ListAgentsRequest::default()
    };
    let before = server.cpu()?;
    let start = Instant::now();
    let (mut pages, mut found) = (0_u64, 0);
    let (mut first, mut longest) = (Duration::ZERO, Duration::ZERO);
    loop {
        ensure!(!interrupt.raised(), "interrupted");
        let asked = Instant::now();
        let v1::ListAgentsResponse {
            agents,
            next_page_token,
            ..
        } = server.operator().list(request.clone())?;
        longest = longest.max(asked.elapsed());
        if pages == 0 {
            first = asked.elapsed();
        }
        pages += 1;
        found += agents.len();
        request.page_token = next_page_token;
        if request.page_token.is_empty() || start.elapsed() > TEXT_BOUND {
            break;
        }
    }
    let end = if request.page_token.is_empty() {
        "to the end"
    } else {
        "and not to the end"
    };
    println!(
        "{name}: first page after {:.1} ms; {found} found on {pages} pages {end} in {:.2} s, CPU {:.2} \
         s; longest page {:.1} ms",
        first.as_secs_f64() * 1e3,
        start.elapsed().as_secs_f64(),
        server.cpu()?.saturating_sub(before).as_secs_f64(),
        longest.as_secs_f64() * 1e3,
    );
    Ok(())
}
