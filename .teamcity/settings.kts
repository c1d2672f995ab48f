// What TeamCity does with this repository: every step is a target of the
// magefile through station.sh, so nothing can be done here that a person could
// not do at a desk. docs/teamcity.md draws it; test/teamcity compiles and runs it.

import jetbrains.buildServer.configs.kotlin.*
import jetbrains.buildServer.configs.kotlin.buildFeatures.*
import jetbrains.buildServer.configs.kotlin.buildSteps.exec
import jetbrains.buildServer.configs.kotlin.triggers.schedule
import jetbrains.buildServer.configs.kotlin.triggers.vcs

version = "2026.1" // not newer than the oldest server that may run this

project {
    description = "From a commit to production, tested on the way"
    template(Station)
    template(OnAws)
    buildType(Check)
    buildType(Bake)
    buildType(ChangeTest)
    buildType(PushToProduction)
    buildType(Backup)
    buildType(NightlyCheck)
    buildType(NightlyDrDrill)
    buildType(SweepUp)
    buildType(Publish)
    buildTypesOrder = listOf(Check, Bake, ChangeTest, PushToProduction, Backup, NightlyCheck, NightlyDrDrill, SweepUp, Publish)
    features {
        sharedResource {
            id = "PRODUCTION"
            name = "Production"
            resourceType = quoted(1)
        }
    }
    cleanup {
        keepRule {
            id = "KEEP_90_DAYS"
            keepAtLeast = days(90) { since = lastBuild() }
            dataToKeep = everything()
            preserveArtifactsDependencies = true
        }
    }
}

/**
 * What differs between servers is set there as context parameters, by
 * teamcity:bootstrap: the names of a key and a group, and the id under which the
 * server keeps the token. None of them is a secret.
 */
object Server {
    val key = DslContext.getParameter("ssh.key", "deploy-key")
    val approvers = DslContext.getParameter("approvers", "PRODUCTION_APPROVERS")
    val githubToken = DslContext.getParameter("github.token", "credentialsJSON:00000000-0000-0000-0000-000000000000")
}

object Station : Template({
    name = "A target of the station"
    artifactRules = """
        .chain/log/** => log
        .chain/bake/**/*.log => bake
        .chain/bake/**/*.json => bake
    """.trimIndent()
    publishArtifacts = PublishMode.ALWAYS
    params {
        param("chain.target", "")
        // What a build hands on: pkg/teamcity sets them.
        param("chain.image", "")
        param("chain.plan", "")
    }
    vcs {
        root(DslContext.settingsRoot)
        cleanCheckout = false // .chain/ is kept: caches, and what an interrupted run goes on from
        checkoutMode = CheckoutMode.ON_AGENT // the trail is written with Git
    }
    steps {
        exec {
            id = "target"
            name = "%chain.target%"
            path = "./station.sh"
            arguments = "-yes %chain.target%"
        }
    }
    failureConditions {
        executionTimeoutMin = 180
        nonZeroExitCode = true
        testFailure = true
    }
    features {
        commitStatusPublisher {
            vcsRootExtId = "${DslContext.settingsRoot.id}"
            publisher = github {
                githubUrl = "https://api.github.com"
                authType = personalToken { token = Server.githubToken }
            }
        }
    }
    requirements { equals("teamcity.agent.jvm.os.name", "Linux") }
})

/** Builds that act on AWS, with the rights that the agent's instance profile has. */
object OnAws : Template({
    name = "On AWS"
    params { param("env.CHAIN_TARGET", "aws") }
    steps {
        exec {
            id = "status"
            name = "what production is now"
            path = "./station.sh"
            arguments = "-yes status"
            executionMode = BuildStep.ExecutionMode.ALWAYS // also when the build is stopped
        }
    }
    features { sshAgent { teamcitySshKey = Server.key } } // the trail is pushed
})

object Check : BuildType({
    templates(Station)
    name = "Check"
    params { param("chain.target", "check") }
    triggers {
        vcs {
            branchFilter = "+:*\n-:chain-trail"
            triggerRules = "-:comment=Chain-Trail:**"
        }
    }
    features {
        pullRequests {
            vcsRootExtId = "${DslContext.settingsRoot.id}"
            provider = github {
                authType = token { token = Server.githubToken }
                filterAuthorRole = PullRequests.GitHubRoleFilter.MEMBER
            }
        }
    }
})

object Bake : BuildType({
    templates(Station, OnAws)
    name = "Bake"
    params { param("chain.target", "bake") }
    dependencies {
        snapshot(Check) {
            onDependencyFailure = FailureAction.FAIL_TO_START
            reuseBuilds = ReuseBuilds.SUCCESSFUL
        }
    }
})

object ChangeTest : BuildType({
    templates(Station, OnAws)
    name = "Change test"
    params { param("chain.target", "test") }
    dependencies {
        snapshot(Bake) {
            onDependencyFailure = FailureAction.FAIL_TO_START
            reuseBuilds = ReuseBuilds.SUCCESSFUL
        }
    }
})

// The plan that the change test of the same chain of builds has told is approved,
// and no other: what was rehearsed is what is released.
object PushToProduction : BuildType({
    templates(Station, OnAws)
    name = "Push to production"
    type = BuildTypeSettings.Type.DEPLOYMENT
    enablePersonalBuilds = false
    maxRunningBuilds = 1
    params { param("chain.target", "release -yes -expect=%dep.${ChangeTest.id}.chain.plan%") }
    vcs { branchFilter = "+:<default>" }
    triggers {
        vcs {
            branchFilter = "+:<default>"
            triggerRules = "-:comment=Chain-Trail:**" // what the chain itself commits is no change
        }
    }
    dependencies {
        snapshot(ChangeTest) {
            onDependencyFailure = FailureAction.CANCEL
            onDependencyCancel = FailureAction.CANCEL
            reuseBuilds = ReuseBuilds.SUCCESSFUL
        }
    }
    features {
        sharedResources { writeLock("Production") }
        approval {
            approvalRules = "group:${Server.approvers}:1"
            timeout = 240
            manualRunsApproved = false
        }
    }
})

// Nothing waits for it and it waits for nothing: data is saved while production is
// pushed to, too. What is not there after twice its hour dr:status and the drill tell.
object Backup : BuildType({
    templates(Station, OnAws)
    name = "Backup"
    maxRunningBuilds = 1
    params { param("chain.target", "dr:backup") }
    vcs { branchFilter = "+:<default>" }
    triggers {
        schedule {
            schedulingPolicy = cron {
                seconds = "0"
                minutes = "7"
                hours = "*"
                dayOfMonth = "*"
                month = "*"
                dayOfWeek = "?"
                timezone = "UTC"
            }
            branchFilter = "+:<default>"
            triggerBuild = always()
            withPendingChangesOnly = false
            enableQueueOptimization = false
        }
    }
})

object NightlyCheck : BuildType({
    templates(Station)
    name = "Nightly check"
    params { param("chain.target", "check -nightly") }
    vcs { branchFilter = "+:<default>" }
    triggers {
        schedule {
            schedulingPolicy = cron {
                seconds = "0"
                minutes = "30"
                hours = "0"
                dayOfMonth = "*"
                month = "*"
                dayOfWeek = "?"
                timezone = "UTC"
            }
            branchFilter = "+:<default>"
            triggerBuild = always()
            withPendingChangesOnly = true
            enableQueueOptimization = false
        }
    }
    failureConditions { executionTimeoutMin = 120 }
})

object NightlyDrDrill : BuildType({
    templates(Station, OnAws)
    name = "Nightly DR drill"
    maxRunningBuilds = 1
    params { param("chain.target", "dr:drill") }
    vcs { branchFilter = "+:<default>" }
    triggers {
        schedule {
            schedulingPolicy = cron {
                seconds = "0"
                minutes = "30"
                hours = "2"
                dayOfMonth = "*"
                month = "*"
                dayOfWeek = "?"
                timezone = "UTC"
            }
            branchFilter = "+:<default>"
            triggerBuild = always()
            withPendingChangesOnly = false
            enableQueueOptimization = false
        }
    }
    failureConditions { executionTimeoutMin = 240 }
    features { sharedResources { readLock("Production") } }
})

object SweepUp : BuildType({
    templates(Station, OnAws)
    name = "Sweep"
    maxRunningBuilds = 1
    params { param("chain.target", "sweep -delete") }
    vcs { branchFilter = "+:<default>" }
    triggers {
        schedule {
            schedulingPolicy = cron {
                seconds = "0"
                minutes = "30"
                hours = "4"
                dayOfMonth = "*"
                month = "*"
                dayOfWeek = "?"
                timezone = "UTC"
            }
            branchFilter = "+:<default>"
            triggerBuild = always()
            withPendingChangesOnly = false
            enableQueueOptimization = false
        }
    }
    features { sharedResources { readLock("Production") } }
})

// Alarms fire where nobody has told the ages of image and backups for a day.
object Publish : BuildType({
    templates(Station, OnAws)
    name = "Publish figures"
    maxRunningBuilds = 1
    params { param("chain.target", "monitor:publish") }
    vcs { branchFilter = "+:<default>" }
    triggers {
        schedule {
            schedulingPolicy = cron {
                seconds = "0"
                minutes = "10"
                hours = "*/6"
                dayOfMonth = "*"
                month = "*"
                dayOfWeek = "?"
                timezone = "UTC"
            }
            branchFilter = "+:<default>"
            triggerBuild = always()
            withPendingChangesOnly = false
            enableQueueOptimization = false
        }
    }
    features { sharedResources { readLock("Production") } }
})
