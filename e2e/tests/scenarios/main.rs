//! What a user can do, one scenario after the other, on a platform for each list: starting one for each scenario would take longer than
//! the scenarios.
//!
//! `MAINSTAY_E2E=faults,static` runs those with such a name alone.
#![allow(clippy::print_stderr, reason = "a test says on standard error how far it is")]

mod accounts;
mod addresses;
mod apps;
mod attached;
mod backup_disk;
mod backups;
mod broken;
mod commands;
mod databases;
mod django;
mod full_disk;
mod images;
mod jobs;
mod killed;
mod limits;
mod load;
mod measured;
mod other_backups;
mod other_databases;
mod red_backups;
mod secrets;
mod serving;
mod websocket;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{PoisonError, RwLock},
    time::Instant,
};

use mainstay_e2e::{Platform, Programs};

type Scenario = (&'static str, fn(&mut Platform));

/// Of the configuration: nobody wants to wait a minute for the next look at what instances use and visitors are sent.
const LOOKS_OFTEN: &str = "[metrics]\nevery_seconds = 1\n";

/// Each with its name.
macro_rules! scenarios {
    ($($module:ident::$name:ident,)*) => { &[$((stringify!($name), $module::$name)),*] };
}

/// They count requests and measure: nothing else may keep the machine busy.
const ALONE: &[Scenario] = scenarios![
    broken::faults_are_explained_while_the_version_before_serves,
    load::redeploys_lose_no_request,
];

const DATABASES: &[Scenario] = scenarios![
    databases::a_database_keeps_its_data,
    other_databases::a_mysql_database_keeps_its_data,
    other_databases::a_redis_database_keeps_its_data,
    django::a_django_app_outlives_its_machine,
    databases::a_lost_volume_is_not_replaced_by_an_empty_one,
    databases::a_database_that_no_spec_names_is_deleted_alone,
    databases::a_database_killed_in_mid_deploy_is_what_the_failure_is_put_to,
    backups::a_backup_is_tried_before_it_is_called_good,
    backups::a_database_is_restored_from_a_backup,
    other_backups::a_mysql_database_is_restored_from_a_backup,
    other_backups::a_redis_database_is_restored_from_a_backup,
    backup_disk::backups_are_made_by_the_schedule_and_a_full_disk_is_red,
    attached::a_postgresql_of_ones_own_is_attached,
    attached::a_mysql_of_ones_own_is_attached,
    attached::a_redis_of_ones_own_is_attached,
    attached::a_valkey_of_ones_own_is_attached,
    full_disk::a_full_disk_loses_nothing,
];

const APPS: &[Scenario] = scenarios![
    apps::the_example_serves_and_an_unchanged_build_is_reused,
    addresses::the_last_address_is_refused_with_numbers,
    commands::apps_answer_to_doctls_commands,
    apps::a_static_site_serves,
    accounts::two_accounts_share_the_machine_and_nothing_else,
    limits::each_limit_of_an_account_is_met,
    limits::builds_and_logs_of_an_account_are_limited,
    apps::a_node_app_serves,
    apps::a_git_repository_is_cloned_by_its_path,
    images::a_dockerfile_app_serves,
    images::a_prebuilt_image_serves,
    secrets::secrets_are_kept_from_everybody_but_the_app,
    websocket::a_websocket_echoes,
    broken::a_failed_build_calls_off_those_that_wait,
    broken::a_failure_stays_readable_over_a_rollback,
    serving::a_crash_after_success_is_explained_and_heals,
    serving::a_memory_kill_after_success_keeps_its_cause_over_a_restart_of_the_server,
    serving::a_failed_liveness_check_is_not_taken_for_a_memory_kill,
    serving::what_the_log_does_not_say_is_seen,
    serving::nothing_runs_on_after_a_canceled_start,
    measured::what_an_app_uses_and_sends_is_measured,
    jobs::jobs_run_around_a_deployment,
    jobs::a_job_has_a_time_limit,
    jobs::a_job_runs_once_although_the_server_was_killed,
    jobs::jobs_run_by_the_clock,
    killed::apps_outlive_a_killed_server,
    killed::a_build_ends_although_the_server_was_killed,
    killed::a_rollout_ends_although_the_server_was_killed,
];

/// Without a runner that gives each test a process of its own: who measures writes, all others read.
static MACHINE: RwLock<()> = RwLock::new(());

#[test]
fn alone() {
    let _quiet = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    run(ALONE);
}

#[test]
fn databases() {
    let _busy = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    run(DATABASES);
}

#[test]
fn apps() {
    let _busy = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    run(APPS);
}

fn run(scenarios: &[Scenario]) {
    let chosen = chosen(scenarios);
    if chosen.is_empty() {
        return;
    }
    let Some(programs) = Programs::find() else { return };
    let mut platform = Platform::start_with(programs, LOOKS_OFTEN);
    let failed: Vec<String> = chosen
        .into_iter()
        .filter_map(|scenario| attempt(&mut platform, scenario))
        .collect();
    // Whatever is left of the platform is a failure of its own.
    drop(platform);
    assert!(
        failed.is_empty(),
        "{} scenarios failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn chosen(scenarios: &[Scenario]) -> Vec<Scenario> {
    let wanted = std::env::var("MAINSTAY_E2E").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').filter(|word| !word.is_empty()).collect();
    let fits = |(name, _): &&Scenario| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    let mut all = [ALONE, DATABASES, APPS].into_iter().flatten();
    assert!(
        all.any(|scenario| fits(&scenario)),
        "no scenario is called like {wanted:?}"
    );
    scenarios.iter().filter(fits).copied().collect()
}

/// The scenario's name and complaint, if it failed. The next one gets a running server in any case.
fn attempt(platform: &mut Platform, (name, scenario): Scenario) -> Option<String> {
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| scenario(platform)));
    let took = started.elapsed().as_secs_f64();
    let Err(panic) = result else {
        eprintln!("✔ {name} ({took:.1} s)");
        return None;
    };
    let complaint = complaint(&*panic);
    eprintln!("✘ {name} ({took:.1} s): {complaint}");
    platform.ensure_server();
    Some(format!("{name}: {complaint}"))
}

fn complaint(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panicked".into())
}
