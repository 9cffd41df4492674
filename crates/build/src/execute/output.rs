//! A running step's output: into the transcript and the findings, as it comes.

use futures_util::StreamExt;
use jiff::Timestamp;
use mainstay_diagnosis::facts::ToolFinding;
use mainstay_engine::LogStream;

use crate::{findings::Findings, transcript::Transcript};

/// What was learned from a step's output.
#[derive(Debug, Default)]
pub(super) struct OutputFacts {
    pub(super) last_output_at: Option<Timestamp>,
    pub(super) findings: Vec<ToolFinding>,
}

/// Reads until the stream ends, which it does once the step ended and everything was delivered.
pub(super) async fn read(
    mut stream: LogStream,
    transcript: Transcript,
    mut findings: Findings,
) -> OutputFacts {
    let mut last_output_at = None;
    while let Some(line) = stream.next().await {
        match line {
            Ok(line) => {
                findings.line(&line.text);
                transcript.tool(line.source, &line.text);
                last_output_at = Some(line.at);
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the output of a build step could not be read"
                );
                break;
            }
        }
    }
    OutputFacts {
        last_output_at,
        findings: findings.into_vec(),
    }
}
