//! The API of Amazon ECR, as far as imports use it: JSON 1.1, the action in `X-Amz-Target`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

#[derive(Default)]
struct State {
    /// What each repository was made with.
    repositories: BTreeMap<String, Value>,
    /// Passwords to hand out, the last one for good.
    passwords: Vec<String>,
    log: Vec<(String, Value)>,
    denied: Vec<&'static str>,
}

pub struct FakeAws {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

impl FakeAws {
    /// A service that hands out `passwords` one after another.
    pub fn start(passwords: &[&str]) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let passwords = passwords.iter().rev().map(ToString::to_string).collect();
        let state = Arc::new(Mutex::new(State { passwords, ..State::default() }));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        let app = axum::Router::new().fallback(move |request: Request<Body>| {
            let state = Arc::clone(&shared);
            async move { answer(&state, request).await }
        });
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, state, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every call of `action` is refused from now on.
    pub fn deny(&self, action: &'static str) {
        self.state.lock().unwrap().denied.push(action);
    }

    /// The requests for `action`, in order.
    pub fn calls(&self, action: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state.log.iter().filter(|(name, _)| name == action).map(|(_, body)| body.clone()).collect()
    }

    pub fn repositories(&self) -> Vec<String> {
        self.state.lock().unwrap().repositories.keys().cloned().collect()
    }
}

async fn answer(state: &Mutex<State>, request: Request<Body>) -> Response<Body> {
    let target =
        request.headers().get("x-amz-target").map(|t| t.to_str().unwrap().to_owned()).unwrap_or_default();
    let signed =
        request.headers().get("authorization").is_some_and(|a| a.to_str().unwrap().starts_with("AWS4-HMAC"));
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let action = target.rsplit('.').next().unwrap_or_default().to_owned();
    let mut state = state.lock().unwrap();
    state.log.push((action.clone(), body.clone()));
    if !signed || state.denied.contains(&action.as_str()) {
        return reply(400, &json!({ "__type": "AccessDeniedException", "message": "not for you" }));
    }
    let name = body["repositoryName"].as_str().unwrap_or_default().to_owned();
    match action.as_str() {
        "GetAuthorizationToken" => {
            let last = state.passwords.last().cloned().unwrap_or_default();
            if state.passwords.len() > 1 {
                state.passwords.pop();
            }
            let token = base64::engine::general_purpose::STANDARD.encode(format!("AWS:{last}"));
            reply(
                200,
                &json!({ "authorizationData": [{ "authorizationToken": token, "expiresAt": 4_000_000_000_u64 }] }),
            )
        }
        "DescribeRepositories" => {
            let name = body["repositoryNames"][0].as_str().unwrap_or_default();
            if state.repositories.contains_key(name) {
                return reply(200, &json!({ "repositories": [{ "repositoryName": name }] }));
            }
            reply(400, &json!({ "__type": "RepositoryNotFoundException", "message": "it does not exist" }))
        }
        "CreateRepository" => {
            state.repositories.insert(name.clone(), body);
            reply(200, &json!({ "repository": { "repositoryName": name } }))
        }
        "PutLifecyclePolicy" => reply(200, &json!({ "repositoryName": name })),
        _ => reply(400, &json!({ "__type": "UnknownOperationException" })),
    }
}

fn reply(status: u16, body: &Value) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    response.body(body.to_string().into()).unwrap()
}
