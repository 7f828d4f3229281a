package main

import (
	"context"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func init() {
	servers["grpc"] = rpcServer
	clients["grpc"] = rpcClient
}

var background = context.Background()

// The gRPC service: messages come back as they are.
const (
	unaryMethod  = "/bench.Echo/Unary"
	streamMethod = "/bench.Echo/Stream"
)

var echoService = grpc.ServiceDesc{
	ServiceName: "bench.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		m := new(wrapperspb.BytesValue)
		return m, decode(m)
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Stream", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			m := new(wrapperspb.BytesValue)
			if err := s.RecvMsg(m); err != nil {
				return ignoreEOF(err)
			}
			if err := s.SendMsg(m); err != nil {
				return err
			}
		}
	}}},
}

func newRPCServer() *grpc.Server {
	s := grpc.NewServer()
	s.RegisterService(&echoService, nil)
	return s
}

func newRPCClient(dial func(context.Context, string) (net.Conn, error), address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func rpcServer(l load) error {
	listener, err := transports[l.Transport].listen(l.Address)
	if err != nil {
		return err
	}
	s := newRPCServer()
	go s.Serve(listener)
	return l.untilStdin(func() error { s.Stop(); return nil })
}

// rpcClient is unary calls, one after the other.
func rpcClient(l load) ([]float64, error) {
	cc, err := newRPCClient(transports[l.Transport].dial, l.Address)
	if err != nil {
		return nil, err
	}
	defer cc.Close()
	in, out := wrapperspb.Bytes(make([]byte, l.Bytes)), new(wrapperspb.BytesValue)
	return l.measure(func() error { return cc.Invoke(background, unaryMethod, in, out) })
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
