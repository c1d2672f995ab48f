package jetbrains.buildServer.configs.kotlin.buildFeatures

import jetbrains.buildServer.configs.kotlin.*

class SshAgent : BuildFeature("sshAgent") {
    var teamcitySshKey: String? by said
}

fun BuildFeatures.sshAgent(init: SshAgent.() -> Unit) = add(SshAgent(), init)

class Approval : BuildFeature("approval") {
    var approvalRules: String? by said
    var timeout: Int? by said
    var manualRunsApproved: Boolean? by said
}

fun BuildFeatures.approval(init: Approval.() -> Unit) = add(Approval(), init)

class PersonalToken : Node() {
    var token: String? by said
}

class CommitStatusPublisher : BuildFeature("commitStatusPublisher") {
    class Github : Node() {
        var githubUrl: String? by said
        var authType: PersonalToken? by said

        fun personalToken(init: PersonalToken.() -> Unit) = PersonalToken().apply(init)
    }

    var vcsRootExtId: String? by said
    var publisher: Github? by said

    fun github(init: Github.() -> Unit) = Github().apply(init)
}

fun BuildFeatures.commitStatusPublisher(init: CommitStatusPublisher.() -> Unit) = add(CommitStatusPublisher(), init)

class PullRequests : BuildFeature("pullRequests") {
    enum class GitHubRoleFilter { MEMBER, MEMBER_OR_COLLABORATOR, EVERYBODY }

    class Github : Node() {
        var authType: PersonalToken? by said
        var filterAuthorRole: GitHubRoleFilter? by said

        fun token(init: PersonalToken.() -> Unit) = PersonalToken().apply(init)
    }

    var vcsRootExtId: String? by said
    var provider: Github? by said

    fun github(init: Github.() -> Unit) = Github().apply(init)
}

fun BuildFeatures.pullRequests(init: PullRequests.() -> Unit) = add(PullRequests(), init)
