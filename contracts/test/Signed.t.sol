// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {BoundedCall} from "../src/libraries/BoundedCall.sol";
import {Policy} from "../src/libraries/Policy.sol";
import {Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";
import {RecordingConsumer} from "./hostile/Consumers.sol";
import {OddWallet, OwnedWallet} from "./hostile/Wallets.sol";

/// @title Requests signed off chain: accepted and answered in one transaction, paid from the requester's deposit
contract SignedTest is Deployment {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 private constant KEY = uint256(keccak256("requester"));
    bytes private constant OUTPUT = "the answer";
    address private alice;

    function setUp() public override {
        super.setUp();
        alice = vm.addr(KEY);
        coprocessor.depositFor{value: 100}(alice);
    }

    function test_ASignedRequestIsAnsweredAndPaidFromTheDeposit() public {
        Request memory asked = signedRequest(alice, 1);
        bytes32 id = coprocessor.computeRequestId(asked);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        bytes memory signature = signDigest(KEY, id);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.SignedRequestAccepted(id, modelId, alice, asked);
        vm.assertTrue(
            coprocessor.deliverSigned(asked, signature, "", OUTPUT, evidence) == ResultCode.DELIVERED, "code"
        );
        vm.assertEq(coprocessor.balanceOf(alice), 90);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 5);
        vm.expectPartialRevert(ICoprocessor.AlreadyDelivered.selector);
        coprocessor.deliverSigned(asked, signature, "", OUTPUT, evidence);
        vm.assertEq(coprocessor.balanceOf(alice), 90);
    }

    function test_AWalletSignsByErc1271AndIsCalledBack() public {
        OwnedWallet wallet = new OwnedWallet(alice);
        vm.etch(address(0xCAFE), address(wallet).code);
        coprocessor.depositFor{value: 100}(address(wallet));
        Request memory asked = signedRequest(address(wallet), 1);
        deliverSigned(asked, signDigest(KEY, coprocessor.computeRequestId(asked)));
        vm.assertEq(coprocessor.balanceOf(address(wallet)), 90);
    }

    /// @dev A signature decides about the signer alone: the callback goes to the requester or nowhere.
    function test_ASignerCannotCauseACallbackElsewhere() public {
        RecordingConsumer victim = new RecordingConsumer();
        Request memory asked = signedRequest(address(victim), 1);
        asked.callbackGas = 100_000;
        coprocessor.depositFor{value: 100}(address(victim));
        expectRefused(
            asked, signDigest(KEY, coprocessor.computeRequestId(asked)), ICoprocessor.BadRequesterSignature.selector
        );
        vm.assertEq(victim.calls(), 0);
    }

    /// @dev EIP-7702: the account has code now, and its key still signs; its code is called back.
    function test_ADelegatedAccountStillSignsWithItsKey() public {
        vm.etch(alice, address(new RecordingConsumer()).code);
        Request memory asked = signedRequest(alice, 1);
        asked.callbackGas = 100_000;
        deliverSigned(asked, signDigest(KEY, coprocessor.computeRequestId(asked)));
        vm.assertEq(RecordingConsumer(payable(alice)).calls(), 1);
    }

    function test_ASignedRequestWithAWindowHoldsTheFee() public {
        Request memory asked = signedRequest(alice, 1);
        asked.policy = quorumPolicy(2, 100);
        bytes32 id = coprocessor.computeRequestId(asked);
        vm.assertTrue(deliverSigned(asked, signDigest(KEY, id)) == ResultCode.DELIVERED_PENDING, "code");
        vm.assertEq(coprocessor.balanceOf(alice), 90);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 0);
        requireStatus(id, Status.PENDING);
    }

    // ---- refused ----------------------------------------------------------------------------------------------

    function test_EveryFieldIsSigned() public {
        Request memory asked = signedRequest(alice, 1);
        bytes memory signature = signDigest(KEY, coprocessor.computeRequestId(asked));
        bytes memory encoded = abi.encode(asked);
        // Fields whose change leaves a request every other check accepts; the others are refused before the signature.
        uint256[6] memory fields = [uint256(1), 3, 5, 6, 7, 8];
        for (uint256 i; i < fields.length; ++i) {
            bytes memory mutated = bytes.concat(encoded);
            mutated[32 * fields[i] + 31] ^= 0x01;
            expectRefused(abi.decode(mutated, (Request)), signature, ICoprocessor.BadRequesterSignature.selector);
        }
        Request memory weaker = abi.decode(encoded, (Request));
        weaker.policy = quorumPolicy(1, 0);
        expectRefused(weaker, signature, ICoprocessor.BadRequesterSignature.selector);
        Request memory elsewhere = abi.decode(encoded, (Request));
        elsewhere.modelId = registerOpaque("another model");
        expectRefused(elsewhere, signature, ICoprocessor.BadRequesterSignature.selector);
        deliverSigned(asked, signature);
    }

    function test_EveryBitOfTheSignatureCounts() public {
        Request memory asked = signedRequest(alice, 1);
        bytes memory signature = signDigest(KEY, coprocessor.computeRequestId(asked));
        for (uint256 bit; bit < 8 * signature.length; ++bit) {
            bytes memory flipped = bytes.concat(signature);
            flipped[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            expectRefused(asked, flipped, ICoprocessor.BadRequesterSignature.selector);
        }
        expectRefused(asked, "", ICoprocessor.BadRequesterSignature.selector);
        expectRefused(asked, bytes.concat(signature, hex"00"), ICoprocessor.BadRequesterSignature.selector);
        deliverSigned(asked, signature);
    }

    function test_TheHighSTwinIsRefused() public {
        Request memory asked = signedRequest(alice, 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, coprocessor.computeRequestId(asked));
        bytes memory twin = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        expectRefused(asked, twin, ICoprocessor.BadRequesterSignature.selector);
    }

    /// @dev Recovering a signer gives the zero address where there is none: that is nobody's signature, whoever asks.
    function test_NobodySignsForTheZeroAddress() public {
        Request memory asked = signedRequest(address(0), 1);
        asked.feeWei = 0;
        expectRefused(asked, "", ICoprocessor.BadRequesterSignature.selector);
        expectRefused(asked, new bytes(65), ICoprocessor.BadRequesterSignature.selector);
        (, bytes32 r, bytes32 s) = vm.sign(KEY, coprocessor.computeRequestId(asked));
        expectRefused(asked, abi.encodePacked(r, s, uint8(29)), ICoprocessor.BadRequesterSignature.selector);
    }

    function test_ANonceOfTheContractIsNotForSigning() public {
        Request memory asked = signedRequest(alice, 1);
        asked.nonce = type(uint128).max;
        expectRefused(asked, signDigest(KEY, coprocessor.computeRequestId(asked)), ICoprocessor.NonceTooLow.selector);
    }

    function test_AnOnChainRequestIsNotDeliveredAsSigned() public {
        Request memory asked = ask(alice, "x", quorumPolicy(2, 0), 10, 0);
        expectRefused(asked, signDigest(KEY, coprocessor.computeRequestId(asked)), ICoprocessor.NonceTooLow.selector);
    }

    function test_ASignedRequestIsNotDeliveredAsOnChain() public {
        Request memory asked = signedRequest(alice, 1);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.expectPartialRevert(ICoprocessor.UnknownRequest.selector);
        coprocessor.deliver(asked, "", OUTPUT, evidence);
        vm.warp(asked.deadline + 1);
        vm.expectPartialRevert(ICoprocessor.UnknownRequest.selector);
        coprocessor.refund(asked);
    }

    function test_AnEmptyPurseIsUnpaid() public {
        vm.prank(alice);
        coprocessor.withdraw(91, payable(alice));
        Request memory asked = signedRequest(alice, 1);
        expectRefused(asked, signDigest(KEY, coprocessor.computeRequestId(asked)), ICoprocessor.Unpaid.selector);
        coprocessor.depositFor{value: 1}(alice);
        deliverSigned(asked, signDigest(KEY, coprocessor.computeRequestId(asked)));
    }

    function test_WhatRequestRefusesIsRefusedHereToo() public {
        Request memory asked = signedRequest(alice, 1);
        asked.refundTo = address(0);
        expectRefusedUnsigned(asked, ICoprocessor.ZeroRefundAddress.selector);
        asked = signedRequest(alice, 1);
        asked.callbackGas = coprocessor.MAX_CALLBACK_GAS() + 1;
        expectRefusedUnsigned(asked, ICoprocessor.CallbackGasTooHigh.selector);
        asked = signedRequest(alice, 1);
        asked.modelId = "no such model";
        expectRefusedUnsigned(asked, ICoprocessor.ModelNotActive.selector);
        asked = signedRequest(alice, 1);
        asked.policy = bytes32(uint256(asked.policy) | 1);
        expectRefusedUnsigned(asked, Policy.MalformedPolicy.selector);
        asked = signedRequest(alice, 1);
        asked.deadline = uint64(block.timestamp) + coprocessor.MAX_HORIZON_SECONDS() + 1;
        expectRefusedUnsigned(asked, ICoprocessor.DeadlineOutOfRange.selector);
        asked = signedRequest(alice, 1);
        vm.warp(asked.deadline + 1);
        expectRefusedUnsigned(asked, ICoprocessor.Expired.selector);
    }

    function test_TheLastSecondStillCounts() public {
        Request memory asked = signedRequest(alice, 1);
        bytes memory signature = signDigest(KEY, coprocessor.computeRequestId(asked));
        vm.warp(asked.deadline);
        deliverSigned(asked, signature);
    }

    // ---- wallets that answer oddly ----------------------------------------------------------------------------

    function test_AWalletThatDoesNotSayTheWordDidNotSign() public {
        requireOddWalletRefused(new OddWallet(OddWallet.Mood.WORD, bytes32(0)));
        requireOddWalletRefused(new OddWallet(OddWallet.Mood.WORD, bytes32(uint256(1))));
        // The magic word with dirt behind it is not the ABI encoding of a bytes4.
        requireOddWalletRefused(new OddWallet(OddWallet.Mood.WORD, bytes32(hex"1626ba7e01")));
        requireOddWalletRefused(new OddWallet(OddWallet.Mood.SHORT_ANSWER, bytes32(hex"1626ba7e")));
        requireOddWalletRefused(new OddWallet(OddWallet.Mood.REVERT, bytes32(hex"1626ba7e")));
        requireOddWalletRefused(new OddWallet(OddWallet.Mood.BURN, bytes32(hex"1626ba7e")));
    }

    function test_AWalletThatSaysTheWordSigned() public {
        OddWallet wallet = new OddWallet(OddWallet.Mood.WORD, bytes32(hex"1626ba7e"));
        coprocessor.depositFor{value: 10}(address(wallet));
        deliverSigned(signedRequest(address(wallet), 1), "");
    }

    function test_TooLittleGasToAskAWalletIsNotABadSignature() public {
        OwnedWallet wallet = new OwnedWallet(alice);
        coprocessor.depositFor{value: 100}(address(wallet));
        Request memory asked = signedRequest(address(wallet), 1);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        bytes memory signature = signDigest(KEY, coprocessor.computeRequestId(asked));
        vm.expectPartialRevert(BoundedCall.InsufficientGas.selector);
        coprocessor.deliverSigned{gas: 300_000}(asked, signature, "", OUTPUT, evidence);
    }

    /// @dev Nobody is asked where there is no code to ask, so no gas has to be there for it.
    function test_ABadSignatureOfAnAccountWithoutCodeIsOneWhateverTheGas() public {
        Request memory asked = signedRequest(alice, 1);
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.BadRequesterSignature.selector, alice));
        coprocessor.deliverSigned{gas: 300_000}(asked, "", "", OUTPUT, evidence);
    }

    // ---- cancelling -------------------------------------------------------------------------------------------

    function test_ACancelledRequestIsNeverAccepted() public {
        Request memory asked = signedRequest(alice, 1);
        bytes32 id = coprocessor.computeRequestId(asked);
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.SignedRequestCancelled(id, alice);
        vm.prank(alice);
        coprocessor.cancelSigned(asked);
        requireStatus(id, Status.CANCELLED);
        expectRefused(asked, signDigest(KEY, id), ICoprocessor.RequestClosed.selector);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.RequestUsed.selector, id, Status.CANCELLED));
        coprocessor.cancelSigned(asked);
        vm.assertEq(coprocessor.balanceOf(alice), 100);
    }

    /// @dev The first nonce that is for signing, which no nonce on chain can reach.
    function test_TheFirstNonceForSigningIsCancelledAndAnsweredToo() public {
        Request memory asked = signedRequest(alice, 0);
        vm.assertEq(asked.nonce, coprocessor.SIGNED_NONCE_START());
        bytes32 id = coprocessor.computeRequestId(asked);
        vm.prank(alice);
        coprocessor.cancelSigned(asked);
        requireStatus(id, Status.CANCELLED);
        expectRefused(asked, signDigest(KEY, id), ICoprocessor.RequestClosed.selector);
        asked.feeWei = 9;
        deliverSigned(asked, signDigest(KEY, coprocessor.computeRequestId(asked)));
        vm.assertEq(coprocessor.balanceOf(alice), 91);
    }

    function test_OnlyTheRequesterCancels() public {
        Request memory asked = signedRequest(alice, 1);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.NotRequester.selector, alice, address(this)));
        coprocessor.cancelSigned(asked);
    }

    function test_AnAnsweredRequestIsNotCancelled() public {
        Request memory asked = signedRequest(alice, 1);
        bytes32 id = coprocessor.computeRequestId(asked);
        deliverSigned(asked, signDigest(KEY, id));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.RequestUsed.selector, id, Status.FINAL));
        coprocessor.cancelSigned(asked);
    }

    function test_AnOnChainRequestIsNotCancelled() public {
        Request memory asked = ask(alice, "x", quorumPolicy(2, 0), 10, 0);
        vm.prank(alice);
        vm.expectPartialRevert(ICoprocessor.NonceTooLow.selector);
        coprocessor.cancelSigned(asked);
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function signedRequest(address requester, uint256 salt) private view returns (Request memory asked) {
        asked = nextRequest(requester, "x", quorumPolicy(2, 0), 10, 0);
        asked.nonce = (1 << 128) + salt;
    }

    function deliverSigned(Request memory asked, bytes memory signature) private returns (ResultCode) {
        return coprocessor.deliverSigned(asked, signature, "x", OUTPUT, evidenceOf(asked, OUTPUT, 2));
    }

    function expectRefusedUnsigned(Request memory asked, bytes4 reason) private {
        expectRefused(asked, signDigest(KEY, coprocessor.computeRequestId(asked)), reason);
    }

    function expectRefused(Request memory asked, bytes memory signature, bytes4 reason) private {
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 2);
        vm.expectPartialRevert(reason);
        coprocessor.deliverSigned(asked, signature, "", OUTPUT, evidence);
    }

    function requireOddWalletRefused(OddWallet wallet) private {
        coprocessor.depositFor{value: 10}(address(wallet));
        expectRefused(signedRequest(address(wallet), 1), "", ICoprocessor.BadRequesterSignature.selector);
    }

    function requireStatus(bytes32 id, Status expected) private view {
        (Status status,,,) = coprocessor.statusOf(id);
        vm.assertEq(uint256(status), uint256(expected));
    }
}
