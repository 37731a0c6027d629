//! What the sockets count.
//!
//! All labels come from this file: a label that a stranger chooses is a way to
//! fill the memory of the server and of whoever scrapes it.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

/// A number that only grows (or, for gauges, moves).
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sub(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) open: Count,
    pub(super) accepted: Count,
    pub(super) refused_total: Count,
    pub(super) refused_address: Count,
    pub(super) refused_rate: Count,
    pub(super) accept_faults: Count,
    pub(super) handshake_timeouts: Count,
    pub(super) handshake_faults: Count,
    pub(super) panics: Count,
    pub(super) certificate_faults: Count,
    /// Answers by the first digit of their status, 1 to 5.
    answers: [Count; 5],
}

impl Counters {
    /// Counts an answer.
    pub(super) fn answered(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.answers.get(class) {
            count.add();
        }
    }

    /// The application's OpenMetrics text with these counters in it.
    pub(super) fn merge_into(&self, text: &str) -> String {
        const END: &str = "# EOF\n";
        let mut out = text.strip_suffix(END).unwrap_or(text).to_owned();
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        self.write(&mut out);
        out.push_str(END);
        out
    }

    fn write(&self, out: &mut String) {
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, &Count)]| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            let total = if kind == "counter" { "_total" } else { "" };
            for (labels, count) in samples {
                let _ = writeln!(out, "{name}{total}{labels} {}", count.get());
            }
        };
        family(
            "assay_server_connections_open",
            "gauge",
            "Open connections.",
            &[("", &self.open)],
        );
        family(
            "assay_server_connections",
            "counter",
            "Connections taken on.",
            &[("", &self.accepted)],
        );
        family(
            "assay_server_connections_refused",
            "counter",
            "Connections closed before a handshake, by the limit that was reached.",
            &[
                (r#"{limit="connections"}"#, &self.refused_total),
                (
                    r#"{limit="connections_per_address"}"#,
                    &self.refused_address,
                ),
                (r#"{limit="connection_rate"}"#, &self.refused_rate),
            ],
        );
        family(
            "assay_server_accept_faults",
            "counter",
            "Times the system could not hand over a connection.",
            &[("", &self.accept_faults)],
        );
        family(
            "assay_server_handshakes_failed",
            "counter",
            "TLS handshakes that came to nothing.",
            &[
                (r#"{cause="timeout"}"#, &self.handshake_timeouts),
                (r#"{cause="tls"}"#, &self.handshake_faults),
            ],
        );
        family(
            "assay_server_panics",
            "counter",
            "Requests whose handler panicked; each was answered 500.",
            &[("", &self.panics)],
        );
        family(
            "assay_server_certificate_faults",
            "counter",
            "Times the certificate files could not be used and the old ones were kept.",
            &[("", &self.certificate_faults)],
        );
        let [c1, c2, c3, c4, c5] = &self.answers;
        family(
            "assay_server_answers",
            "counter",
            "HTTP answers by class of status.",
            &[
                (r#"{status="1xx"}"#, c1),
                (r#"{status="2xx"}"#, c2),
                (r#"{status="3xx"}"#, c3),
                (r#"{status="4xx"}"#, c4),
                (r#"{status="5xx"}"#, c5),
            ],
        );
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn the_servers_numbers_join_the_applications() {
        let counters = Counters::default();
        counters.answered(StatusCode::OK);
        counters.answered(StatusCode::BAD_REQUEST);
        counters.answered(StatusCode::BAD_REQUEST);
        counters.open.add();
        counters.open.add();
        counters.open.sub();
        let text = counters.merge_into("# TYPE x counter\nx_total 1\n# EOF\n");
        assert!(text.starts_with("# TYPE x counter\nx_total 1\n# HELP assay_server_"));
        assert!(text.ends_with("} 0\n# EOF\n"));
        assert_eq!(text.matches("# EOF").count(), 1);
        for line in [
            "assay_server_answers_total{status=\"2xx\"} 1\n",
            "assay_server_answers_total{status=\"4xx\"} 2\n",
            "assay_server_connections_open 1\n",
            "# TYPE assay_server_connections_open gauge\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }

    #[test]
    fn a_text_without_an_end_gets_one() {
        let text = Counters::default().merge_into("x 1");
        assert!(text.starts_with("x 1\n#") && text.ends_with("# EOF\n"));
    }
}
