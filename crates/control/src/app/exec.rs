//! Consoles: which instance, and what to run in it.

use std::collections::BTreeMap;

use mainstay_engine::{ExecRequest, ExecSession, InstanceState};
use mainstay_spec::ids::{AppId, DeploymentId, InstanceId};
use mainstay_store::InstanceRow;

use super::{Application, Refusal};

/// The shells that a console tries, best first.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash -l; exec sh -l";

impl Application {
    /// The component's instance of that name, or its first running one; of the serving deployment unless another is named.
    pub(crate) async fn console_instance(
        &self,
        app: AppId,
        deployment: Option<DeploymentId>,
        component: &str,
        name: Option<&str>,
    ) -> Result<InstanceId, Refusal> {
        let instances = match deployment {
            Some(id) => {
                let row = self.deployment(app, id).await?.row;
                self.platform.store.instances_of_deployment(row.id).await?
            }
            None => self.instances(app).await?,
        };
        let fits = |row: &InstanceRow| {
            !row.removed && row.component == component && name.is_none_or(|name| row.is_called(name))
        };
        for row in instances.into_iter().filter(fits) {
            let status = self.platform.engine.status(row.id).await?;
            if status.is_some_and(|status| status.state == InstanceState::Running) {
                return Ok(row.id);
            }
        }
        let which = name.map(|name| format!(" called {name:?}")).unwrap_or_default();
        Err(Refusal::BadRequest(format!(
            "component {component:?} has no running instance{which} to open a console in"
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
