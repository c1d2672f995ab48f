package release_test
import ("testing";"github.com/build-deploy-chain/chain/pkg/lab";"fmt";"time";"os";"context";"github.com/build-deploy-chain/chain/pkg/pipeline")
func TestZZ(t *testing.T){
		w := newWorld(t, func(o *lab.Options) { o.Factor = 1000 })
		w.page(t, "Hello World")
		s := w.chain(t).Start(false, 0)
		if err:=s.Do(context.Background(), pipeline.Env{Tell: func(pipeline.Event){}}); err!=nil {t.Fatal(err)}
		w.page(t, "Hello World, again")
		w.l.ResetCalls(); w.forget()
		s = w.chain(t).Start(false, 0)
		b:=time.Now()
		if err:=s.Do(context.Background(), pipeline.Env{Tell: func(e pipeline.Event){fmt.Fprintf(os.Stderr,"%5d %-8s %s | %s %.110s\n",time.Since(b).Milliseconds(),e.Kind,e.Step,e.Name,e.Text)}}); err!=nil {t.Fatal(err)}
		fmt.Fprintln(os.Stderr, w.l.Calls())
}
