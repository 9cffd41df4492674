//! Consoles: which instance, and what to run in it.

use std::collections::BTreeMap;

use mainstay_engine::{ExecRequest, ExecSession, InstanceState};
use mainstay_spec::ids::{AppId, InstanceId};

use super::{Application, Refusal};

/// The shells that a console tries, best first.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash -l; exec sh -l";

impl Application {
    /// The component's instance of that name (`web-0`), or its first running one.
    pub(crate) async fn console_instance(
        &self,
        app: AppId,
        component: &str,
        name: Option<&str>,
    ) -> Result<InstanceId, Refusal> {
        let instances = self.instances(app).await?;
        let of_component = instances.into_iter().filter(|row| row.component == component);
        for row in of_component
            .filter(|row| name.is_none_or(|name| row.name() == name || row.id.to_string() == name))
        {
            let status = self.platform.engine.status(row.id).await?;
            if status.is_some_and(|status| status.state == InstanceState::Running) {
                return Ok(row.id);
            }
        }
        Err(Refusal::BadRequest(format!(
            "component {component:?} has no running instance to open a console in"
        )))
    }

    /// Runs `argv`, or a login shell on a terminal when it is empty.
    pub(crate) async fn open_console(
        &self,
        instance: InstanceId,
        argv: Vec<String>,
        terminal: Option<(u16, u16)>,
    ) -> Result<ExecSession, Refusal> {
        let shell = ["/bin/sh", "-c", SHELL].map(str::to_owned).to_vec();
        let argv = if argv.is_empty() { shell } else { argv };
        let mut env = BTreeMap::new();
        if terminal.is_some() {
            env.insert("TERM".to_owned(), "xterm-256color".to_owned());
        }
        Ok(self
            .platform
            .engine
            .exec(instance, ExecRequest { argv, env, terminal })
            .await?)
    }
}
