//! Calls about accounts, their users, tokens and limits, and about what happened in them.

use mainstay_api::{
    AccountLimitRequest, AccountLimits, AccountLimitsRequest, AccountRequest, AccountResponse,
    AccountSummary, AccountSummaryResponse, AccountUser, AccountsResponse, AuditEntry, AuditResponse,
    CreateTokenRequest, CreateUserRequest, Limit, LimitsResponse, Token, TokenResponse, TokensResponse,
    UpdateUserRequest, UserResponse, UsersResponse,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Client, escaped};
use crate::error::CliError;

const ACCOUNTS: &str = "/v2/mainstay/accounts";
const USERS: &str = "/v2/mainstay/users";
const TOKENS: &str = "/v2/mainstay/tokens";

impl Client {
    /// Whose the token is. A server that does not know it refuses.
    pub(crate) async fn who(&self) -> Result<AccountLimits, CliError> {
        let answer: AccountResponse = self.get("/v2/account").await?;
        Ok(answer.account)
    }

    pub(crate) async fn accounts(&self) -> Result<Vec<AccountSummary>, CliError> {
        let answer: AccountsResponse = self.get(ACCOUNTS).await?;
        Ok(answer.accounts)
    }

    pub(crate) async fn account(&self, account: &str) -> Result<AccountSummary, CliError> {
        let path = format!("{ACCOUNTS}/{}", escaped(account));
        let answer: AccountSummaryResponse = self.get(&path).await?;
        Ok(answer.account)
    }

    pub(crate) async fn create_account(&self, name: String) -> Result<AccountSummary, CliError> {
        let body = json!(AccountRequest { name });
        let answer: AccountSummaryResponse = self.send(Method::POST, ACCOUNTS, &body).await?;
        Ok(answer.account)
    }

    pub(crate) async fn rename_account(
        &self,
        account: &str,
        name: String,
    ) -> Result<AccountSummary, CliError> {
        let path = format!("{ACCOUNTS}/{}", escaped(account));
        let body = json!(AccountRequest { name });
        let answer: AccountSummaryResponse = self.send(Method::PUT, &path, &body).await?;
        Ok(answer.account)
    }

    pub(crate) async fn remove_account(&self, account: &str) -> Result<(), CliError> {
        let path = format!("{ACCOUNTS}/{}", escaped(account));
        let _: Value = self.send(Method::DELETE, &path, &Value::Null).await?;
        Ok(())
    }

    pub(crate) async fn set_account_limits(
        &self,
        account: &str,
        limits: Vec<AccountLimitRequest>,
    ) -> Result<Vec<Limit>, CliError> {
        let path = format!("{ACCOUNTS}/{}/limits", escaped(account));
        let body = json!(AccountLimitsRequest { limits });
        let answer: LimitsResponse = self.send(Method::PUT, &path, &body).await?;
        Ok(answer.limits)
    }

    /// Of the token's own account unless another is named, as below.
    pub(crate) async fn limits(&self, account: Option<&str>) -> Result<Vec<Limit>, CliError> {
        let answer: LimitsResponse = self.get(&of("/v2/mainstay/limits", account)).await?;
        Ok(answer.limits)
    }

    pub(crate) async fn users(&self, account: Option<&str>) -> Result<Vec<AccountUser>, CliError> {
        let answer: UsersResponse = self.get(&of(USERS, account)).await?;
        Ok(answer.users)
    }

    pub(crate) async fn create_user(
        &self,
        account: Option<&str>,
        request: &CreateUserRequest,
    ) -> Result<AccountUser, CliError> {
        let path = of(USERS, account);
        let answer: UserResponse = self.send(Method::POST, &path, &json!(request)).await?;
        Ok(answer.user)
    }

    pub(crate) async fn update_user(
        &self,
        account: Option<&str>,
        user: &str,
        request: &UpdateUserRequest,
    ) -> Result<AccountUser, CliError> {
        let path = of(&format!("{USERS}/{}", escaped(user)), account);
        let answer: UserResponse = self.send(Method::PUT, &path, &json!(request)).await?;
        Ok(answer.user)
    }

    pub(crate) async fn remove_user(&self, account: Option<&str>, user: &str) -> Result<(), CliError> {
        let path = of(&format!("{USERS}/{}", escaped(user)), account);
        let _: Value = self.send(Method::DELETE, &path, &Value::Null).await?;
        Ok(())
    }

    pub(crate) async fn tokens(&self, account: Option<&str>) -> Result<Vec<Token>, CliError> {
        let answer: TokensResponse = self.get(&of(TOKENS, account)).await?;
        Ok(answer.tokens)
    }

    /// With its secret.
    pub(crate) async fn create_token(
        &self,
        account: Option<&str>,
        request: &CreateTokenRequest,
    ) -> Result<Token, CliError> {
        let path = of(TOKENS, account);
        let answer: TokenResponse = self.send(Method::POST, &path, &json!(request)).await?;
        Ok(answer.token)
    }

    pub(crate) async fn revoke_token(&self, account: Option<&str>, id: &str) -> Result<(), CliError> {
        let path = of(&format!("{TOKENS}/{}", escaped(id)), account);
        let _: Value = self.send(Method::DELETE, &path, &Value::Null).await?;
        Ok(())
    }

    pub(crate) async fn audit(&self, account: Option<&str>, count: u32) -> Result<Vec<AuditEntry>, CliError> {
        let and = account.map(|account| format!("&account={}", escaped(account)));
        let path = format!("/v2/mainstay/audit?per_page={count}{}", and.unwrap_or_default());
        let answer: AuditResponse = self.get(&path).await?;
        Ok(answer.audit)
    }
}

fn of(path: &str, account: Option<&str>) -> String {
    match account {
        Some(account) => format!("{path}?account={}", escaped(account)),
        None => path.to_owned(),
    }
}
