//! `docs/error-codes.md`, generated from the catalogue; a test holds the file against it.

use std::fmt::Write as _;

use crate::{Cause, Code, explain::listed_exit_codes};

/// The whole page.
pub fn error_codes_page() -> String {
    let mut page = String::from(
        "# Error codes\n\n\
         <!-- Generated from crates/diagnosis/src/catalogue; `UPDATE=1 cargo nextest run -p mainstay-diagnosis` writes it anew. -->\n\n\
         Every failure of a build, a deployment or a running instance ends as exactly one **code**, decided by observed facts alone. Below the\n\
         code stands the **cause**, our finer word, as far as it was observed. `mainstay explain NAME` shows one entry of this page. The\n\
         `Deploy…` spelling of a code (`DeployContainerExitNonZero`) is understood wherever a code is read. Names are never changed.\n\n",
    );
    contents(&mut page);
    for code in Code::ALL {
        code_section(&mut page, *code);
    }
    causes_section(&mut page);
    exit_codes_section(&mut page);
    page
}

fn contents(page: &mut String) {
    page.push_str("| code | what it says |\n|---|---|\n");
    for code in Code::ALL {
        let _ = writeln!(
            page,
            "| [`{code}`](#{}) | {} |",
            code.as_str().to_ascii_lowercase(),
            code.page().title
        );
    }
    page.push('\n');
}

fn code_section(page: &mut String, code: Code) {
    let text = code.page();
    let causes: Vec<String> = code
        .causes()
        .iter()
        .map(|cause| format!("[`{cause}`](#{cause})"))
        .collect();
    let _ = writeln!(
        page,
        "## {code}\n\n**{}.** {}\n\n- **Decided by:** {}\n- **Evidence:** {}\n- **Tried again:** {}\n- **What to do:** {}\n- **Causes:** {}\n",
        text.title,
        text.meaning,
        text.decided_by,
        text.evidence,
        text.retried,
        text.next_step,
        causes.join(", "),
    );
}

fn causes_section(page: &mut String) {
    page.push_str("# Causes\n\n");
    for cause in Cause::ALL {
        let text = cause.page();
        let codes: Vec<String> = cause.codes().iter().map(|code| format!("`{code}`")).collect();
        let _ = writeln!(
            page,
            "### {cause}\n\n**{}.** {}\n\n- **Decided by:** {}\n- **What to do:** {}\n- **Met with:** {}\n",
            text.title,
            text.meaning,
            text.decided_by,
            text.next_step,
            codes.join(", "),
        );
    }
}

fn exit_codes_section(page: &mut String) {
    page.push_str(
        "# Exit codes\n\nThe raw wait status decides: `exit 137` by the app itself and a SIGKILL are different things and are told \
         differently.\n\n| code | name | meaning |\n|---|---|---|\n",
    );
    for row in listed_exit_codes() {
        let _ = writeln!(page, "| {} | {} | {} |", row.number, row.name, row.meaning);
    }
    page.push_str("| 128 + n | signal n | Ended by signal n; `mainstay explain 130` names it. |\n");
}
