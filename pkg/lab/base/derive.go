package base

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// upstream is what the base is made of where the host cannot build it.
const upstream = "docker.io/library/debian:bookworm-slim"

// deriveScript does in a container of upstream what build.sh does elsewhere.
const deriveScript = `set -eu
export DEBIAN_FRONTEND=noninteractive
if [ -s /lab/sources ]; then
  rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
  cp /lab/sources /etc/apt/sources.list.d/debian.sources
fi
if [ -s /lab/options ]; then cp /lab/options /etc/apt/apt.conf.d/99lab; fi
echo 'APT::Install-Recommends "false";' >/etc/apt/apt.conf.d/98lab
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/98lab
apt-get -q update
packages=$(sed -n 's/^packages=//p' /lab/build.sh | tr , ' ')
apt-get -q -y install $packages
sh /lab/customize.sh /
apt-get clean
rm -rf /lab
`

// derive makes the tarball in a container of the debian image.
func derive(ctx context.Context, o Options, out, sources string, options []string) error {
	if _, err := o.Engine.ImageInspect(ctx, upstream); errdefs.IsNotFound(err) {
		res, err := o.Engine.ImagePull(ctx, upstream, client.ImagePullOptions{})
		if err == nil {
			err = res.Wait(ctx)
		}
		if err != nil {
			return fmt.Errorf("neither is mmdebstrap installed (apt-get install mmdebstrap), nor can %s be pulled: %w", upstream, err)
		}
	} else if err != nil {
		return err
	}
	return inside(ctx, o, upstream, deriveScript, map[string]string{
		"build.sh": buildScript, "customize.sh": customizeScript, "sources": sources, "options": strings.Join(options, "\n"),
	}, out)
}

// inside makes the tarball by a script in a container of an image, which finds the files in /lab.
func inside(ctx context.Context, o Options, image, script string, texts map[string]string, out string) error {
	c, err := o.Engine.ContainerCreate(ctx, client.ContainerCreateOptions{Config: &container.Config{
		Image: image, Cmd: []string{"sh", "-c", script}, Entrypoint: []string{},
	}})
	if err != nil {
		return err
	}
	defer func() {
		_, err := o.Engine.ContainerRemove(context.WithoutCancel(ctx), c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil {
			o.Log.Warn("the container in which an image was made stays", "container", c.ID, "error", err)
		}
	}()
	files, err := archive(texts)
	if err == nil {
		_, err = o.Engine.CopyToContainer(ctx, c.ID, client.CopyToContainerOptions{DestinationPath: "/", Content: files})
	}
	if err == nil {
		_, err = o.Engine.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
	}
	if err != nil {
		return err
	}
	end := o.Engine.ContainerWait(ctx, c.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case err := <-end.Error:
		return err
	case s := <-end.Result:
		if s.StatusCode != 0 {
			return fmt.Errorf("%s: exit status %d:\n%s", image, s.StatusCode, containerLog(ctx, o, c.ID))
		}
	}
	return export(ctx, o, c.ID, out)
}

func archive(files map[string]string) (io.Reader, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	err := t.WriteHeader(&tar.Header{Name: "lab/", Typeflag: tar.TypeDir, Mode: 0o755})
	for name, text := range files {
		err = errors.Join(err, t.WriteHeader(&tar.Header{Name: "lab/" + name, Mode: 0o755, Size: int64(len(text))}))
		_, e := io.WriteString(t, text)
		err = errors.Join(err, e)
	}
	return &b, errors.Join(err, t.Close())
}

func containerLog(ctx context.Context, o Options, id string) string {
	l, err := o.Engine.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "12"})
	if err != nil {
		return err.Error()
	}
	defer l.Close()
	var b bytes.Buffer
	if _, err := stdcopy.StdCopy(&b, &b, l); err != nil {
		return err.Error()
	}
	return strings.TrimRight(b.String(), "\n")
}

// export writes a container's tree, without what the engine put there.
func export(ctx context.Context, o Options, id, out string) (err error) {
	res, err := o.Engine.ContainerExport(ctx, id, client.ContainerExportOptions{})
	if err != nil {
		return err
	}
	defer res.Close()
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	from, to := tar.NewReader(res), tar.NewWriter(f)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			return to.Close()
		}
		if err != nil {
			return err
		}
		if h.Name == ".dockerenv" {
			continue
		}
		if err := to.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
	}
}
