# @summary The CloudWatch agent: memory, disk and logs of a machine.
#
# The agent comes as one .deb that is in no repository of Debian, so its source
# has to be named. It is installed and enabled while the image is baked, and
# first started at the boot of a machine.
#
# @param agent
#   Whether machines have the agent.
# @param package_source
#   URL or path of amazon-cloudwatch-agent.deb.
# @param package_sha256
#   Its digest.
# @param log_prefix
#   Log groups are named this, a slash, and a key of logs.
# @param retention_days
#   How long CloudWatch keeps what is logged.
# @param logs
#   Files that are shipped, by the last part of their log group's name.
class profile::monitor (
  Boolean $agent,
  Optional[String[1]] $package_source = undef,
  Optional[Pattern[/\A[0-9a-f]{64}\z/]] $package_sha256 = undef,
  Pattern[/\A\/[\w\/.-]+\z/] $log_prefix = "/chain/${pick($facts['role'], 'web')}",
  Integer[1] $retention_days = 30,
  Hash[String[1], Stdlib::Absolutepath] $logs = {},
) {
  if $agent {
    unless $package_source and $package_sha256 {
      fail('profile::monitor: no source of the CloudWatch agent: set profile::monitor::package_source and package_sha256 in hiera, or profile::monitor::agent: false')
    }

    $home = '/opt/aws/amazon-cloudwatch-agent'
    $files = $logs.map |$name, $path| {
      {
        'file_path'         => $path,
        'log_group_name'    => "${log_prefix}/${name}",
        'log_stream_name'   => '{instance_id}',
        'retention_in_days' => $retention_days,
      }
    }
    # Without the aggregation an alarm on a whole group would find no metric.
    $config = {
      'agent'   => { 'metrics_collection_interval' => 60, 'run_as_user' => 'cwagent' },
      'metrics' => {
        'namespace'              => 'CWAgent',
        'append_dimensions'      => { 'InstanceId' => '${aws:InstanceId}', 'AutoScalingGroupName' => '${aws:AutoScalingGroupName}' }, # lint:ignore:single_quote_string_with_variables
        'aggregation_dimensions' => [['AutoScalingGroupName'], ['InstanceId']],
        'metrics_collected'      => {
          'mem'  => { 'measurement' => ['mem_used_percent'] },
          'swap' => { 'measurement' => ['swap_used_percent'] },
          'disk' => { 'measurement' => ['used_percent', 'inodes_free'], 'resources' => ['/'], 'drop_device' => true },
        },
      },
      'logs'    => {
        'logs_collected'       => { 'files' => { 'collect_list' => $files } },
        'force_flush_interval' => 5,
      },
    }

    file { '/var/tmp/chain/amazon-cloudwatch-agent.deb':
      ensure         => file,
      source         => $package_source,
      checksum       => 'sha256',
      checksum_value => $package_sha256,
    }

    package { 'amazon-cloudwatch-agent':
      ensure   => installed,
      provider => dpkg,
      source   => '/var/tmp/chain/amazon-cloudwatch-agent.deb',
      require  => File['/var/tmp/chain/amazon-cloudwatch-agent.deb'],
    }

    file { "${home}/etc/amazon-cloudwatch-agent.json":
      ensure  => file,
      owner   => 'root',
      group   => 'root',
      mode    => '0644',
      content => to_json_pretty($config),
      require => Package['amazon-cloudwatch-agent'],
    }

    service { 'amazon-cloudwatch-agent':
      enable  => true,
      require => File["${home}/etc/amazon-cloudwatch-agent.json"],
    }
  }
}
