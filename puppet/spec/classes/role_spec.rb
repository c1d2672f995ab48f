# frozen_string_literal: true

Dir.glob(File.expand_path('../../site-modules/role/manifests/*.pp', __dir__)).each do |manifest|
  describe "role::#{File.basename(manifest, '.pp')}" do
    let(:hiera_config) { File.expand_path('../fixtures/hiera.yaml', __dir__) }
    let(:facts) { { 'role' => File.basename(manifest, '.pp') } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_class('profile::base') }

    it 'holds no resources of its own, only profiles' do
      expect(File.read(manifest).scan(/^\s+(\w+)/).flatten.uniq).to eq ['include']
    end
  end
end
