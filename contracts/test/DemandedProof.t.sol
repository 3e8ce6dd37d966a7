// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Coprocessor} from "../src/Coprocessor.sol";
import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {IVerifierRouter} from "../src/interfaces/IVerifierRouter.sol";
import {CallbackStatus, Delivery, Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";
import {RecordingConsumer} from "./hostile/Consumers.sol";
import {TruthVerifier} from "./hostile/TruthVerifier.sol";

/// @title Policies that demand a proof, alone, beside a quorum, with a window
contract DemandedProofTest is Deployment {
    bytes private constant INPUT = "x";
    bytes private constant OUTPUT = "the truth";
    bytes private constant LIE = "a lie";
    address private constant PROVER = address(0x9407E4);
    address private constant THIEF = address(0xBAD);
    uint32 private constant GAS = 200_000;

    function setUp() public override {
        super.setUp();
        truth.learn(modelId, INPUT, OUTPUT);
    }

    // ---- what it is for ---------------------------------------------------------------------------------------

    function test_AProofAloneIsFinalAtOnceAndPaysItsProver() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = ask(address(consumer), INPUT, proofPolicy(0, 0), 11, GAS);
        ResultCode code = coprocessor.deliver(asked, INPUT, OUTPUT, one(proofOf(asked, OUTPUT, PROVER)));
        vm.assertTrue(code == ResultCode.DELIVERED, "code");
        vm.assertEq(coprocessor.balanceOf(PROVER), 11);
        vm.assertEq(consumer.calls(), 1);
        vm.assertEq(consumer.lastOutput(), OUTPUT);
    }

    function test_AProofThatNamesNobodyDeliversOnlyWhatIsFree() public {
        Request memory paid = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 1, 0);
        Request memory free = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 0, 0);
        Evidence[] memory evidence = one(proofOf(paid, OUTPUT, PROVER));
        vm.etch(address(truth), hex"60205f5260405ff3"); // returns an empty list
        vm.expectRevert(ICoprocessor.NobodyToPay.selector);
        coprocessor.deliver(paid, INPUT, OUTPUT, evidence);
        vm.assertTrue(coprocessor.deliver(free, INPUT, OUTPUT, evidence) == ResultCode.DELIVERED, "code");
    }

    function test_AProofBesideAQuorumPaysAll() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(2, 0), 11, 0);
        coprocessor.deliver(asked, INPUT, OUTPUT, both(asked, OUTPUT, PROVER));
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 5, "first, with the remainder");
        vm.assertEq(coprocessor.balanceOf(operatorAt(1)), 3, "second");
        vm.assertEq(coprocessor.balanceOf(PROVER), 3, "prover");
    }

    function test_AProvingOperatorOfTheQuorumIsPaidOnce() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(2, 0), 11, 0);
        coprocessor.deliver(asked, INPUT, OUTPUT, both(asked, OUTPUT, operatorAt(1)));
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 6);
        vm.assertEq(coprocessor.balanceOf(operatorAt(1)), 5);
    }

    function test_ASignedRequestIsProvenToo() public {
        uint256 key = uint256(keccak256("requester"));
        coprocessor.depositFor{value: 11}(vm.addr(key));
        Request memory asked = nextRequest(vm.addr(key), INPUT, proofPolicy(0, 0), 11, 0);
        asked.nonce = 1 << 128;
        bytes memory signature = signDigest(key, coprocessor.computeRequestId(asked));
        coprocessor.deliverSigned(asked, signature, INPUT, OUTPUT, one(proofOf(asked, OUTPUT, PROVER)));
        vm.assertEq(coprocessor.balanceOf(PROVER), 11);
    }

    function test_AProofWithAWindowWaits() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(0, 100), 11, 0);
        ResultCode code = coprocessor.deliver(asked, INPUT, OUTPUT, one(proofOf(asked, OUTPUT, PROVER)));
        vm.assertTrue(code == ResultCode.DELIVERED_PENDING, "code");
        vm.assertEq(coprocessor.balanceOf(PROVER), 0);
        vm.warp(block.timestamp + 100);
        address[] memory paid = new address[](1);
        paid[0] = PROVER;
        coprocessor.finalize(asked, OUTPUT, paid);
        vm.assertEq(coprocessor.balanceOf(PROVER), 11);
    }

    // ---- what it is not ---------------------------------------------------------------------------------------

    function test_ALieIsNotProven() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        Evidence[] memory evidence = one(proofOf(asked, LIE, PROVER));
        vm.expectPartialRevert(TruthVerifier.NotTrue.selector);
        coprocessor.deliver(asked, INPUT, LIE, evidence);
    }

    function test_AProofOfOneRequestIsNoneOfAnother() public {
        Request memory first = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        Request memory second = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        Evidence[] memory evidence = one(proofOf(first, OUTPUT, PROVER));
        coprocessor.deliver(first, INPUT, OUTPUT, evidence);
        vm.expectRevert(TruthVerifier.NotProven.selector);
        coprocessor.deliver(second, INPUT, OUTPUT, evidence);
        vm.expectPartialRevert(ICoprocessor.AlreadyDelivered.selector);
        coprocessor.deliver(first, INPUT, OUTPUT, evidence);
    }

    /// @dev The same question at another Coprocessor, or on another chain, has another id, and its proof another
    ///      context.
    function test_AProofForAnotherContractOrChainIsNone() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 0, 0);
        Coprocessor other =
            Coprocessor(deployShipped("Coprocessor", abi.encode(models, router, address(0), address(0))));
        bytes32 here = coprocessor.computeRequestId(asked);
        bytes32 there = other.computeRequestId(asked);
        Evidence memory evidence = proofOf(asked, OUTPUT, PROVER);
        vm.prank(asked.requester);
        other.request(modelId, INPUT, asked.policy, 0, asked.deadline, asked.refundTo);
        vm.assertNotEq(here, there);
        vm.expectRevert(TruthVerifier.NotProven.selector);
        other.deliver(asked, INPUT, OUTPUT, one(evidence));
        vm.chainId(block.chainid + 1);
        vm.assertNotEq(here, coprocessor.computeRequestId(asked));
        vm.expectPartialRevert(ICoprocessor.UnknownRequest.selector);
        coprocessor.deliver(asked, INPUT, OUTPUT, one(evidence));
    }

    /// @dev A copied proof pays its prover, and naming somebody else makes it worthless: nothing to gain in front.
    function test_WhoCopiesAProofPaysItsProver() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        Evidence memory evidence = proofOf(asked, OUTPUT, PROVER);
        bytes memory stolen = bytes.concat(evidence.data);
        for (uint256 i; i < 20; ++i) {
            stolen[i] = bytes20(THIEF)[i];
        }
        vm.prank(THIEF);
        vm.expectRevert(TruthVerifier.NotProven.selector);
        coprocessor.deliver(asked, INPUT, OUTPUT, one(Evidence(PROOF, stolen)));
        vm.prank(THIEF);
        coprocessor.deliver(asked, INPUT, OUTPUT, one(evidence));
        vm.assertEq(coprocessor.balanceOf(PROVER), 11);
        vm.assertEq(coprocessor.balanceOf(THIEF), 0);
    }

    function test_AProofNeedsTheRequestsInput() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        Evidence[] memory evidence = one(proofOf(asked, OUTPUT, PROVER));
        vm.expectRevert(abi.encodeWithSelector(TruthVerifier.InputMissing.selector, keccak256(INPUT), keccak256("")));
        coprocessor.deliver(asked, "", OUTPUT, evidence);
        vm.expectPartialRevert(TruthVerifier.InputMissing.selector);
        coprocessor.deliver(asked, "another input", OUTPUT, evidence);
    }

    function test_AnEmptyInputIsAnInput() public {
        truth.learn(modelId, "", OUTPUT);
        Request memory asked = ask(address(0xA11CE), "", proofPolicy(0, 0), 11, 0);
        coprocessor.deliver(asked, "", OUTPUT, one(proofOf(asked, OUTPUT, PROVER)));
        vm.assertEq(coprocessor.balanceOf(PROVER), 11);
    }

    function test_NothingDemandedMayBeMissingAndNothingElseMayBeThere() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(2, 0), 11, 0);
        Evidence memory proof = proofOf(asked, OUTPUT, PROVER);
        Evidence[] memory signatures = evidenceOf(asked, OUTPUT, 2);
        bytes memory count = abi.encodeWithSelector(ICoprocessor.EvidenceCount.selector, 2, 1);
        vm.expectRevert(count);
        coprocessor.deliver(asked, INPUT, OUTPUT, one(proof));
        vm.expectRevert(count);
        coprocessor.deliver(asked, INPUT, OUTPUT, signatures);
        Evidence[] memory pieces = both(asked, OUTPUT, PROVER);
        (pieces[0], pieces[1]) = (pieces[1], pieces[0]);
        vm.expectPartialRevert(IVerifierRouter.WrongKind.selector);
        coprocessor.deliver(asked, INPUT, OUTPUT, pieces);
        Request memory proofOnly = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        signatures = evidenceOf(proofOnly, OUTPUT, 2);
        vm.expectPartialRevert(IVerifierRouter.WrongKind.selector);
        coprocessor.deliver(proofOnly, INPUT, OUTPUT, signatures);
    }

    function test_AQuorumDoesNotOverruleAProof() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(2, 0), 11, 0);
        Evidence[] memory pieces = new Evidence[](2);
        (pieces[0], pieces[1]) = (evidenceOf(asked, LIE, 2)[0], proofOf(asked, OUTPUT, PROVER));
        vm.expectPartialRevert(TruthVerifier.NotTrue.selector);
        coprocessor.deliver(asked, INPUT, LIE, pieces);
    }

    function test_ADeprecatedModelStillAnswersWhatWasAsked() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        models.deprecate(modelId);
        uint64 deadline = asked.deadline;
        vm.expectPartialRevert(ICoprocessor.ModelNotActive.selector);
        coprocessor.request(modelId, INPUT, proofPolicy(0, 0), 0, deadline, REFUND_TO);
        coprocessor.deliver(asked, INPUT, OUTPUT, one(proofOf(asked, OUTPUT, PROVER)));
        vm.assertEq(coprocessor.balanceOf(PROVER), 11);
    }

    function test_AStoppedVerifierAcceptsNothing() public {
        Request memory asked = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        vm.prank(GUARDIAN);
        router.stop(PROOF);
        Evidence[] memory evidence = one(proofOf(asked, OUTPUT, PROVER));
        vm.expectPartialRevert(IVerifierRouter.SelectorStopped.selector);
        coprocessor.deliver(asked, INPUT, OUTPUT, evidence);
        vm.expectPartialRevert(ICoprocessor.KindNotServed.selector);
        coprocessor.request(modelId, INPUT, proofPolicy(0, 0), 0, asked.deadline, REFUND_TO);
    }

    /// @dev Whatever gas a deliverer gives, the outcome is the honest one or nothing happened.
    function testFuzz_TooLittleGasChangesNothing(uint24 gas_) public {
        RecordingConsumer consumer = new RecordingConsumer();
        Request memory asked = ask(address(consumer), INPUT, proofPolicy(0, 0), 11, GAS);
        Evidence[] memory evidence = one(proofOf(asked, OUTPUT, PROVER));
        try coprocessor.deliver{gas: uint256(gas_) % 600_000}(asked, INPUT, OUTPUT, evidence) {} catch {}
        (Status status, CallbackStatus callback,,) = coprocessor.statusOf(coprocessor.computeRequestId(asked));
        bool isDone = status == Status.FINAL && callback == CallbackStatus.SUCCEEDED && consumer.calls() == 1;
        bool isUntouched = status == Status.REQUESTED && callback == CallbackStatus.NONE && consumer.calls() == 0;
        vm.assertTrue(isDone || isUntouched, "half a delivery");
    }

    function test_ABadProofSinksNoBatch() public {
        Request memory first = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        Request memory second = ask(address(0xA11CE), INPUT, proofPolicy(0, 0), 11, 0);
        Delivery[] memory items = new Delivery[](2);
        items[0] = Delivery(first, "", INPUT, LIE, one(proofOf(first, LIE, PROVER)));
        items[1] = Delivery(second, "", INPUT, OUTPUT, one(proofOf(second, OUTPUT, PROVER)));
        ResultCode[] memory codes = coprocessor.deliverBatch(items);
        vm.assertTrue(codes[0] == ResultCode.BAD_EVIDENCE && codes[1] == ResultCode.DELIVERED, "codes");
    }

    function one(Evidence memory evidence) private pure returns (Evidence[] memory pieces) {
        pieces = new Evidence[](1);
        pieces[0] = evidence;
    }

    function both(Request memory asked, bytes memory output, address prover)
        private
        view
        returns (Evidence[] memory pieces)
    {
        pieces = new Evidence[](2);
        (pieces[0], pieces[1]) = (evidenceOf(asked, output, 2)[0], proofOf(asked, output, prover));
    }
}
