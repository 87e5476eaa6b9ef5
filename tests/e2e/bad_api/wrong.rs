//! What is made wrong in a request to the management interface.

use agentidp_tests::Request;
use serde_json::{Value, json};

use super::{JSON, Row, World};

/// What only the server writes into a record.
const SERVER_S_OWN: [&str; 14] = [
    "id",
    "status",
    "revision",
    "created_at",
    "updated_at",
    "last_auth_at",
    "agent_id",
    "client_id",
    "client_secret",
    "kind",
    "retires_at",
    "last_used_at",
    "use_count",
    "is_admin",
];
/// Texts that end early, are read backwards, hide something, or look like others.
const DECEPTIVE: [&str; 4] = ["a\u{0}b", "a\u{202e}b", "a\u{200b}b", LOOK_ALIKE];
/// Its third letter is Cyrillic.
const LOOK_ALIKE: &str = "te\u{430}m@acme.example";
/// What may hold any letters, so also those that look like others.
const FREE: [&str; 2] = ["owner", "reason"];
/// Path segments that are no id, with the field that is named when it is not the parameter.
const NO_IDS: [(&str, Option<&str>); 8] = [
    ("x", None),
    ("%00", None),
    ("0193f2c4-0000-7000-8000-000000009b20%00", None),
    ("%D0%B0@acme.example", None),
    ("..%2F..%2Fagents", None),
    ("%zz", Some("path")),
    ("%4", Some("path")),
    ("%ff", Some("path")),
];

/// A request that is made wrong.
pub(super) struct Bad {
    pub(super) what: String,
    pub(super) request: Request,
    pub(super) status: u16,
    pub(super) code: &'static str,
    /// The field that the error names.
    pub(super) field: Option<String>,
}

fn invalid(what: impl Into<String>, request: Request, field: &str) -> Bad {
    Bad {
        what: what.into(),
        request,
        status: 400,
        code: "INVALID_ARGUMENT",
        field: Some(field.to_owned()),
    }
}

/// The object that `good` is, with one more member or another value of it.
pub(super) fn with(good: &str, member: &str, value: Value) -> Vec<u8> {
    let mut body: Value = serde_json::from_str(good).unwrap();
    body[member] = value;
    body.to_string().into_bytes()
}

/// Bodies that are not as `schema` has them, or nowhere as they should be.
pub(super) fn bodies(world: &World, (method, path, good): Row, schema: &Value) -> Vec<Bad> {
    let path = world.path(path, None);
    let send = |media_type: &str, body: &[u8]| world.request(method, &path, (media_type, body));
    if good.is_empty() {
        return vec![invalid("a body", send(JSON, b"{}"), "body")];
    }
    let large = with(good, "no_such_member", json!("x".repeat(1_000_000)));
    let (open, close) = ("[".repeat(20_000), "]".repeat(20_000));
    let deep = format!("{{\"metadata\":{open}{close}}}");
    let mut all = vec![
        invalid("no JSON", send(JSON, b"reason=x"), "body"),
        invalid("a list", send(JSON, b"[]"), "body"),
        invalid("deep JSON", send(JSON, deep.as_bytes()), "body"),
        invalid(
            "two objects",
            send(JSON, format!("{good}{good}").as_bytes()),
            "body",
        ),
        invalid("no text", send(JSON, b"{\"reason\":\"\xff\"}"), "body"),
        Bad {
            status: 413,
            code: "BODY_TOO_LARGE",
            field: None,
            ..invalid("a megabyte", send(JSON, &large), "")
        },
    ];
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
    ] {
        all.push(Bad {
            status: 415,
            code: "UNSUPPORTED_MEDIA_TYPE",
            field: None,
            ..invalid(media_type, send(media_type, good.as_bytes()), "")
        });
    }
    let known = schema["properties"].as_object().unwrap();
    let owned = SERVER_S_OWN.iter().filter(|it| !known.contains_key(**it));
    for member in owned.chain(&["no_such_member", "__proto__"]) {
        let body = with(good, member, json!("active"));
        all.push(invalid(*member, send(JSON, &body), member));
    }
    let ours = known.keys().filter(|it| !it.starts_with("organization"));
    for member in ours {
        for value in DECEPTIVE.iter().flat_map(|text| deceptive(member, text)) {
            let what = format!("{member} is {value:?}");
            let body = with(good, member, value);
            all.push(invalid(what, send(JSON, &body), member));
        }
    }
    all
}

/// What `member` may not be: a text, or something with it, but for what may be any text or hold any letters.
fn deceptive(member: &str, text: &str) -> Vec<Value> {
    let mut values = vec![json!([text]), json!({ text: "x" })];
    // Whoever shows the values of metadata makes visible what is in them.
    if member != "metadata" {
        values.push(json!({ "kty": text }));
    }
    if !FREE.contains(&member) || text != LOOK_ALIKE {
        values.push(json!(text));
    }
    values
}

/// Queries and paths that are not as the contract has them.
pub(super) fn addresses(
    world: &World,
    (method, path, good): Row,
    parameters: &[Value],
) -> Vec<Bad> {
    let send = |path: &str| world.request(method, path, (JSON, good.as_bytes()));
    let asked = |query: &str| send(&format!("{}?{query}", world.path(path, None)));
    let mut all = vec![
        invalid("an unknown parameter", asked("no_such=1"), "no_such"),
        invalid(
            "a doubled parameter",
            asked("no_such=1&no_such=1"),
            "no_such",
        ),
        invalid("no percent-encoding", asked("no_such=%zz"), "query"),
        invalid("a NUL", asked("no_such=%00"), "query"),
        invalid("no text", asked("no_such=%ff"), "query"),
    ];
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        if parameter["in"] == "query" {
            all.push(invalid(name, asked(&format!("{name}=x&{name}=x")), name));
            all.push(invalid(name, asked(&format!("{name}=")), name));
            if !FREE.contains(&name) && name != "text" {
                all.push(invalid(name, asked(&format!("{name}=%D0%B0")), name));
            }
        }
        if parameter["in"] == "path" {
            let long = "9".repeat(6_000);
            for (id, field) in NO_IDS.into_iter().chain([(long.as_str(), None)]) {
                let path = world.path(path, Some((name, id)));
                all.push(invalid(id, send(&path), field.unwrap_or(name)));
            }
        }
    }
    if parameters.iter().any(|it| it["name"] == "cursor") {
        all.extend(
            cursors(world, path)
                .map(|it| invalid(&it, asked(&format!("limit=1&cursor={it}")), "cursor")),
        );
    }
    all
}

/// Cursors of a list that somebody has changed, or that are another's.
fn cursors(world: &World, path: &str) -> [String; 4] {
    let cursor_of = |path: &str| {
        let page = world
            .get(&format!("{}?limit=1", world.path(path, None)))
            .json();
        page["next_cursor"].as_str().unwrap().to_owned()
    };
    let other = match path {
        "/audit" => "/agents",
        _ => "/audit",
    };
    let cursor = cursor_of(path);
    let mut changed = cursor.clone();
    let at = cursor.len() / 2;
    changed.replace_range(at..=at, if &cursor[at..=at] == "A" { "B" } else { "A" });
    [
        changed,
        cursor[..at].to_owned(),
        format!("{cursor}A"),
        cursor_of(other),
    ]
}
