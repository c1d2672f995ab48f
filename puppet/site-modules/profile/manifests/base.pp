# @summary What every machine has in common, whatever its role.
#
# Machines are replaced, never changed in place, and each one started from an
# image makes its own SSH host keys.
class profile::base {
  # An update by itself would make machines of one image differ.
  service { ['apt-daily.timer', 'apt-daily-upgrade.timer']:
    ensure   => stopped,
    enable   => mask,
    provider => systemd,
  }

  # The image holds no host keys. cloud-init makes them where it has a data
  # source, early in the boot; this unit makes one where nobody else did, before
  # sshd needs it. It does not wait for cloud-init, nor does sshd because of it.
  file { '/etc/systemd/system/ssh-host-key.service':
    ensure => file,
    owner  => 'root',
    group  => 'root',
    mode   => '0644',
    source => 'puppet:///modules/profile/base/ssh-host-key.service',
  }

  service { 'ssh-host-key.service':
    enable   => true,
    provider => systemd,
    require  => File['/etc/systemd/system/ssh-host-key.service'],
  }

  # A fire drill has to let a machine hang, and nobody can log in to do it: EC2's
  # diagnostic interrupt stops the kernel, which must not boot again by itself.
  file { '/etc/systemd/system/panic-on-interrupt.service':
    ensure => file,
    owner  => 'root',
    group  => 'root',
    mode   => '0644',
    source => 'puppet:///modules/profile/base/panic-on-interrupt.service',
  }

  service { 'panic-on-interrupt.service':
    enable   => true,
    provider => systemd,
    require  => File['/etc/systemd/system/panic-on-interrupt.service'],
  }
}
