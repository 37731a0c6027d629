//! The token endpoint, up to the form.
//!
//! Everything that can be refused by looking at the head is refused before the
//! body is read, and everything that can be refused by looking at the form is
//! refused before the application sees it. Nothing of the request is logged:
//! a token in a query string or a header must not end up in a file.

use std::{future::poll_fn, pin::Pin, task::Poll};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use hyper::body::Body;
use tokio::time::timeout;

use super::{
    answer::{self, Reply, Tongue},
    app::Answer,
    route,
    shared::Conn,
};
use crate::{
    exchange::{Form, FormError},
    model::{Reason, RequestId},
};

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Parameters by which a client authenticates itself. This endpoint knows no
/// client's secret; a bare `client_id` authenticates nobody and is let through.
const AUTHENTICATION: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// Answers `POST /oauth2/token`.
pub(super) async fn answer<B>(conn: &Conn, request: &mut Request<B>, id: RequestId) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    if let Err(reason) = head(request, conn.shared.limits.body) {
        let mut reply = refuse(conn, request, reason, id);
        if reason == Reason::ClientAuthenticationFailed {
            let challenge = challenge(request.headers());
            reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        return reply;
    }
    let body = match body(conn, request.body_mut()).await {
        Ok(body) => body,
        Err(reason) => return refuse(conn, request, reason, id),
    };
    match form(&body) {
        Ok(form) => {
            drop(body);
            exchange(conn, request, form, id).await
        }
        Err(reason) => refuse(conn, request, reason, id),
    }
}

fn refuse<B>(conn: &Conn, request: &Request<B>, reason: Reason, id: RequestId) -> Reply {
    route::refuse(conn, request, Tongue::Json, reason, id)
}

async fn exchange<B>(conn: &Conn, request: &Request<B>, form: Form, id: RequestId) -> Reply {
    let shared = &conn.shared;
    let Some(_share) = shared.in_flight.add(1, shared.limits.in_flight) else {
        return refuse(conn, request, Reason::Overloaded, id);
    };
    let peer = conn.peer(request.headers());
    let answer: Answer = shared.app.token(form, peer, id).await;
    answer::of(answer, id)
}

/// What the head alone decides.
fn head<B: Body>(request: &Request<B>, cap: usize) -> Result<(), Reason> {
    let headers = request.headers();
    if request.uri().query().is_some_and(|q| !q.is_empty()) {
        return Err(Reason::RequestMalformed);
    }
    if headers.contains_key(AUTHORIZATION) {
        return Err(Reason::ClientAuthenticationFailed);
    }
    let is_plain = |v: &HeaderValue| v.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) || !is_form(headers) {
        return Err(Reason::ContentTypeUnsupported);
    }
    if request.body().size_hint().lower() > cap as u64 {
        return Err(Reason::BodyTooLarge);
    }
    Ok(())
}

/// Whether the one `Content-Type` is a form, in UTF-8 if it names a charset.
fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let value = value.as_bytes();
    if value == FORM {
        return true;
    }
    let mut parts = value.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let is_form = parts.next().is_some_and(|t| t.eq_ignore_ascii_case(FORM));
    is_form
        && parts.all(|p| {
            p.is_empty()
                || p.eq_ignore_ascii_case(b"charset=utf-8")
                || p.eq_ignore_ascii_case(b"charset=\"utf-8\"")
        })
}

/// The challenge for the scheme that the client tried (RFC 6749 section 5.2).
fn challenge(headers: &HeaderMap) -> HeaderValue {
    let is = |scheme: &[u8]| {
        headers.get(AUTHORIZATION).is_some_and(|value| {
            let mut words = value.as_bytes().split(|b| *b == b' ');
            words.next().is_some_and(|w| w.eq_ignore_ascii_case(scheme))
        })
    };
    if is(b"bearer") {
        HeaderValue::from_static("Bearer realm=\"assay\"")
    } else if is(b"dpop") {
        HeaderValue::from_static("DPoP realm=\"assay\"")
    } else {
        HeaderValue::from_static("Basic realm=\"assay\"")
    }
}

/// The form, without client authentication in it.
fn form(body: &[u8]) -> Result<Form, Reason> {
    let form = Form::parse(body).map_err(|error| match error {
        FormError::Malformed | FormError::TooMany => Reason::RequestMalformed,
        FormError::Duplicated => Reason::ParameterDuplicated,
    })?;
    if AUTHENTICATION.iter().any(|name| form.get(name).is_some()) {
        return Err(Reason::ClientAuthenticationFailed);
    }
    Ok(form)
}

/// The whole body, within its cap and its time.
async fn body<B>(conn: &Conn, body: &mut B) -> Result<Bytes, Reason>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut reader = Reader {
        first: Bytes::new(),
        all: BytesMut::new(),
        cap: conn.shared.limits.body,
    };
    // Most bodies are there already: those cost no timer and no account.
    let at_once = poll_fn(|cx| Poll::Ready(reader.poll(Pin::new(body), cx))).await;
    if let Poll::Ready(done) = at_once {
        return done.map(|()| reader.take());
    }
    let shared = &conn.shared;
    let mut account = None;
    let waiting = poll_fn(|cx| {
        // On account only while something is waited for, and only for as much
        // as is held: a stream of bare heads takes nothing from the others.
        account = None;
        let poll = reader.poll(Pin::new(body), cx);
        if poll.is_pending() && reader.len() > 0 {
            account = shared
                .partial_bodies
                .add(reader.len(), shared.limits.partial_bodies);
            if account.is_none() {
                return Poll::Ready(Err(Reason::Overloaded));
            }
        }
        poll
    });
    let done = timeout(shared.limits.body_timeout, waiting).await;
    done.unwrap_or(Err(Reason::RequestTimeout))
        .map(|()| reader.take())
}

/// Collects a body. One that comes in one piece is not copied.
struct Reader {
    first: Bytes,
    all: BytesMut,
    cap: usize,
}

impl Reader {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Result<(), Reason>>
    where
        B: Body<Data = Bytes>,
    {
        loop {
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Reason::RequestMalformed)),
            };
            // Trailers: nothing that matters may come after the form.
            let Ok(data) = frame.into_data() else {
                return Poll::Ready(Err(Reason::RequestMalformed));
            };
            if data.len() > self.cap.saturating_sub(self.len()) {
                return Poll::Ready(Err(Reason::BodyTooLarge));
            }
            if self.len() == 0 {
                self.first = data;
                continue;
            }
            if self.all.is_empty() {
                self.all.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.all.extend_from_slice(&data);
        }
    }

    fn take(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
